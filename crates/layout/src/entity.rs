//! Entity handles: one safe integer, the same in Rust, JavaScript and files.
//!
//! ```text
//!  52          51 .. 32       31 .. 0
//! provisional  generation     index (< 2^31)
//! ```

use core::fmt;

/// Largest index a world hands out.
pub const INDEX_MAX: u32 = (1 << 31) - 1;
/// Largest generation; a slot that reached it retires instead of being reused.
pub const GENERATION_MAX: u32 = (1 << 20) - 1;

const GENERATION_SHIFT: u32 = 32;
const PROVISIONAL: u64 = 1 << 52;

/// Names one entity of one world, for ever: a handle of a destroyed entity is stale, never another entity.
///
/// Generations start at 1, so that a bare index is never mistaken for a handle.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(transparent)]
pub struct Entity(u64);

/// The number is not an entity handle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InvalidEntity(pub f64);

impl Entity {
    /// The handle of `index` in its `generation`.
    ///
    /// # Panics
    /// If `index` is above [`INDEX_MAX`], or `generation` is 0 or above [`GENERATION_MAX`].
    #[inline]
    pub const fn new(index: u32, generation: u32) -> Entity {
        assert!(index <= INDEX_MAX, "entity index out of range");
        assert!(generation >= 1 && generation <= GENERATION_MAX, "entity generation out of range");
        Entity((generation as u64) << GENERATION_SHIFT | index as u64)
    }

    /// A placeholder for an entity that a command will spawn: `buffer` names the command buffer, `sequence` the spawn.
    ///
    /// # Panics
    /// If `sequence` is above [`INDEX_MAX`] or `buffer` above [`GENERATION_MAX`].
    #[inline]
    pub const fn provisional(buffer: u32, sequence: u32) -> Entity {
        assert!(sequence <= INDEX_MAX && buffer <= GENERATION_MAX, "provisional entity out of range");
        Entity(PROVISIONAL | (buffer as u64) << GENERATION_SHIFT | sequence as u64)
    }

    /// The slot's index, or a provisional handle's sequence.
    #[inline]
    pub const fn index(self) -> u32 {
        self.0 as u32
    }

    /// The slot's generation, or a provisional handle's command buffer.
    #[inline]
    pub const fn generation(self) -> u32 {
        (self.0 >> GENERATION_SHIFT) as u32 & GENERATION_MAX
    }

    /// Whether a command buffer made this handle and it has not been merged yet.
    #[inline]
    pub const fn is_provisional(self) -> bool {
        self.0 & PROVISIONAL != 0
    }

    /// The handle as the integer that JavaScript and entity-valued columns hold. Exact: below 2^53.
    #[inline]
    pub const fn to_f64(self) -> f64 {
        self.0 as f64
    }

    /// The handle as an integer.
    #[inline]
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// Reads a handle back from its integer.
    ///
    /// # Errors
    /// [`InvalidEntity`] if no world or command buffer could have made it.
    pub fn from_f64(value: f64) -> Result<Entity, InvalidEntity> {
        let bits = value as u64;
        if bits as f64 != value { Err(InvalidEntity(value)) } else { Entity::from_bits(bits) }
    }

    /// A handle of bits that were one.
    #[cfg(feature = "alloc")]
    #[inline]
    pub(crate) const fn from_bits_unchecked(bits: u64) -> Entity {
        Entity(bits)
    }

    /// Reads a handle back from [`Entity::to_bits`].
    ///
    /// # Errors
    /// As [`Entity::from_f64`].
    #[inline]
    pub fn from_bits(bits: u64) -> Result<Entity, InvalidEntity> {
        let entity = Entity(bits);
        let valid =
            bits < 1 << 53 && entity.index() <= INDEX_MAX && (entity.is_provisional() || entity.generation() >= 1);
        if valid { Ok(entity) } else { Err(InvalidEntity(bits as f64)) }
    }
}

impl fmt::Debug for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_provisional() { "?" } else { "" };
        write!(f, "{}{}v{}", self.index(), kind, self.generation())
    }
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl fmt::Display for InvalidEntity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not an entity handle", self.0)
    }
}

impl core::error::Error for InvalidEntity {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_survive_f64_at_every_extreme() {
        for entity in [
            Entity::new(0, 1),
            Entity::new(INDEX_MAX, GENERATION_MAX),
            Entity::provisional(0, 0),
            Entity::provisional(GENERATION_MAX, INDEX_MAX),
        ] {
            assert!(entity.to_f64() < 9_007_199_254_740_992.0);
            assert_eq!(Entity::from_f64(entity.to_f64()), Ok(entity));
        }
    }

    #[test]
    fn a_bare_index_or_a_fraction_is_no_handle() {
        for value in [0.0, 7.0, 0.5, -1.0, f64::NAN, f64::INFINITY, 4_294_967_296.5, 9_007_199_254_740_992.0] {
            assert!(Entity::from_f64(value).is_err(), "{value}");
        }
    }

    #[test]
    #[should_panic(expected = "generation out of range")]
    fn generation_zero_is_refused() {
        Entity::new(1, 0);
    }
}
