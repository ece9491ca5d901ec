//! Whether jobs are pure: what `--check` finds out.
//!
//! A checked job is lent copies of what it only reads, so that a write to them is seen and does no harm. A row-wise job
//! runs twice: first on copies of its rows, cut at random borders, then in place as always; what it wrote has to be the
//! same. The world comes out of a checked frame as out of any other.
//!
//! # Rules
//! - Borders come from a seed, the tick and the rows, not from who runs them: a finding can be had again.
//! - What is found is told once for each system and place, with the first entity that shows it.
//!
//! # Not here
//! Systems in Rust over rows: what they only read they get as `&`. Side effects outside of columns: a checked job prints
//! twice.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

use peristyle_jobs::{Access, JobShape, Lent};
use peristyle_layout::{Entity, Scalar};
use peristyle_memory::bits;

/// Findings that are kept until somebody takes them.
const FOUND_MAX: usize = 64;

/// Something impure that a job did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckReport {
    /// The system.
    pub system: String,
    /// The tick.
    pub tick: u64,
    /// What was found.
    pub finding: Finding,
    /// The first entity that shows it, if it shows on one.
    pub entity: Option<Entity>,
}

/// What a check can find.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// The job wrote a column of a component that it only declared to read.
    WroteReadColumn {
        /// The component.
        component: String,
        /// The field.
        field: String,
    },
    /// The job wrote a column of a resource that it only declared to read.
    WroteReadResource {
        /// The resource.
        resource: String,
        /// The field.
        field: String,
        /// The first row that shows it.
        row: usize,
    },
    /// The job changed its copy of an opaque component's value, and gave no patch of it: nothing is written.
    ChangedValue {
        /// The component.
        component: String,
    },
    /// What the job does depends on where ranges begin and end, or on what it kept from earlier calls.
    DependsOnRanges(Difference),
}

/// What came out differently with other borders.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Difference {
    /// Values of a column.
    Column {
        /// The component.
        component: String,
        /// The field.
        field: String,
    },
    /// Which rows are marked as changed.
    Marks {
        /// The component.
        component: String,
    },
    /// Which rows are despawned.
    Despawns,
    /// What the job's patches do to an entity.
    Patches,
    /// Values of a resource's column.
    Resource {
        /// The resource.
        resource: String,
        /// The field.
        field: String,
    },
    /// Whether the job fails.
    Failure,
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CheckReport { system, tick, .. } = self;
        let at = self.entity.map_or_else(String::new, |entity| format!(" of entity {}", entity.to_bits()));
        match &self.finding {
            Finding::WroteReadColumn { component, field } => write!(
                f,
                "job `{system}` wrote field `{field}` of `{component}`{at} in tick {tick}, but declares to read it only"
            ),
            Finding::WroteReadResource { resource, field, row } => write!(
                f,
                "job `{system}` wrote field `{field}` of resource `{resource}`, row {row}, in tick {tick}, but declares \
                 to read it only"
            ),
            Finding::ChangedValue { component } => write!(
                f,
                "job `{system}` changed its copy of the value of `{component}`{at} in tick {tick}, and gave no patch of \
                 it: nothing is written"
            ),
            Finding::DependsOnRanges(difference) => {
                write!(f, "job `{system}` depends on where ranges begin and end, or on earlier calls: ")?;
                match difference {
                    Difference::Column { component, field } => write!(f, "field `{field}` of `{component}`{at}")?,
                    Difference::Marks { component } => write!(f, "the mark on `{component}`{at}")?,
                    Difference::Despawns => write!(f, "the despawn{at}")?,
                    Difference::Patches => write!(f, "the patches{at}")?,
                    Difference::Resource { resource, field } => write!(f, "field `{field}` of resource `{resource}`")?,
                    Difference::Failure => write!(f, "whether it fails")?,
                }
                write!(f, " differs with other borders in tick {tick}")
            }
        }
    }
}

/// What checks of one scheduler found.
#[derive(Debug)]
pub(crate) struct Checker {
    seed: u64,
    found: Mutex<Found>,
}

#[derive(Debug, Default)]
struct Found {
    reports: Vec<CheckReport>,
    /// New ones since the frame began.
    new: u64,
}

impl Checker {
    pub(crate) fn new(seed: u64) -> Checker {
        Checker { seed, found: Mutex::default() }
    }

    fn found(&self) -> std::sync::MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a report, or the one of the lowest entity among those of a tick that tell the same.
    pub(crate) fn report(&self, report: CheckReport) {
        let Found { reports, new } = &mut *self.found();
        let same = |known: &CheckReport| known.system == report.system && known.finding == report.finding;
        match reports.iter().position(same) {
            Some(at) => {
                let index = |report: &CheckReport| report.entity.map(Entity::index);
                if reports[at].tick == report.tick && index(&report) < index(&reports[at]) {
                    reports[at] = report;
                }
            }
            None if reports.len() < FOUND_MAX => {
                reports.push(report);
                *new += 1;
            }
            None => {}
        }
    }

    /// Number of findings since the last call.
    pub(crate) fn take_new(&self) -> u64 {
        std::mem::take(&mut self.found().new)
    }

    /// Takes the findings, in an order that does not depend on who found them.
    pub(crate) fn take(&self) -> Vec<CheckReport> {
        let mut reports = std::mem::take(&mut self.found().reports);
        reports.sort_by_cached_key(|report| (report.tick, report.system.clone(), report.to_string()));
        reports
    }

    /// Random borders of `rows` rows that begin with entity index `first`.
    pub(crate) fn borders(&self, tick: u64, first: u32, rows: usize) -> Vec<usize> {
        let mut state = self.seed ^ tick.rotate_left(32) ^ u64::from(first);
        let cuts = random(&mut state) % 4 + 1;
        let mut borders: Vec<usize> = (0..cuts).map(|_| random(&mut state) as usize % rows.max(1)).collect();
        borders.extend([0, rows]);
        borders.sort_unstable();
        borders.dedup();
        borders
    }
}

/// SplitMix64, by Steele, Lea and Flood.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A copy of a column, or of a bitset's words.
#[derive(Debug)]
pub(crate) struct Copied {
    words: Vec<u64>,
    len: u32,
    scalar: Scalar,
}

impl Copied {
    /// Copies a column.
    ///
    /// # Safety
    /// It is readable, and nobody writes it meanwhile.
    pub(crate) unsafe fn of(column: &Lent) -> Copied {
        let mut words = vec![0_u64; column.bytes().div_ceil(8)];
        // SAFETY: the source is the caller's word; the target was made as large.
        unsafe { std::ptr::copy_nonoverlapping(column.ptr.as_ptr(), words.as_mut_ptr().cast(), column.bytes()) };
        Copied { words, len: column.len, scalar: column.scalar }
    }

    /// Lends `rows` of it.
    pub(crate) fn lend(&mut self, rows: std::ops::Range<usize>) -> Lent {
        debug_assert!(rows.end <= self.len as usize);
        let ptr = self.words.as_mut_ptr().cast::<u8>().wrapping_add(rows.start * self.scalar.size());
        Lent {
            ptr: std::ptr::NonNull::new(ptr).unwrap_or(std::ptr::NonNull::dangling()),
            len: rows.len() as u32,
            scalar: self.scalar,
        }
    }

    /// Lends all of it.
    pub(crate) fn lend_all(&mut self) -> Lent {
        self.lend(0..self.len as usize)
    }

    /// `rows` bits of a bitset, from bit `first` on.
    pub(crate) fn cut(&self, first: usize, rows: usize) -> Copied {
        let mut words = vec![0; rows.div_ceil(64)];
        bits::copy(&self.words, first, &mut words, 0, rows);
        Copied { len: words.len() as u32 * 8, words, scalar: self.scalar }
    }

    /// Puts back what was [cut](Copied::cut).
    pub(crate) fn paste(&mut self, part: &Copied, first: usize, rows: usize) {
        bits::copy(&part.words, 0, &mut self.words, first, rows);
    }

    /// The first element that differs from the column's.
    ///
    /// # Safety
    /// As [`Copied::of`].
    pub(crate) unsafe fn first_difference(&self, column: &Lent) -> Option<usize> {
        let (size, bytes) = (self.scalar.size(), column.bytes());
        debug_assert!(bytes == self.len as usize * size);
        // SAFETY: the copy has so many bytes, and so has the column by the caller's word.
        let (mine, theirs) = unsafe {
            (
                std::slice::from_raw_parts(self.words.as_ptr().cast::<u8>(), bytes),
                std::slice::from_raw_parts(column.ptr.as_ptr(), bytes),
            )
        };
        mine.iter().zip(theirs).position(|(mine, theirs)| mine != theirs).map(|byte| byte / size)
    }

    /// The first of `rows` bits that differs from the bitset's.
    ///
    /// # Safety
    /// As [`Copied::of`].
    pub(crate) unsafe fn first_different_bit(&self, bitset: &Lent, rows: usize) -> Option<usize> {
        // SAFETY: bitsets are whole words.
        let theirs = unsafe { std::slice::from_raw_parts(bitset.ptr.as_ptr().cast::<u64>(), rows.div_ceil(64)) };
        let differs = |word: usize| {
            let odd = (self.words[word] ^ theirs[word]) & bits::word_mask(word, &(0..rows));
            (odd != 0).then(|| word * 64 + odd.trailing_zeros() as usize)
        };
        (0..theirs.len()).find_map(differs)
    }
}

/// The names and accesses of a shape's columns of components, in order: component, field, access.
pub(crate) fn columns_of(shape: &JobShape) -> impl Iterator<Item = (&str, &str, Access)> + Clone {
    shape.components.iter().flat_map(|component| {
        component.fields.iter().map(move |field| (component.name.as_str(), &*field.name, component.access))
    })
}

/// The same for columns of resources.
pub(crate) fn resources_of(shape: &JobShape) -> impl Iterator<Item = (&str, &str, Access)> + Clone {
    shape.resources.iter().flat_map(|resource| {
        resource.fields.iter().map(move |field| (resource.name.as_str(), &*field.name, resource.access))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borders_are_those_of_the_seed_and_cover_all_rows() {
        let checker = Checker::new(7);
        for rows in [1, 2, 100, 16_384] {
            let borders = checker.borders(3, 20, rows);
            assert_eq!((borders[0], borders[borders.len() - 1]), (0, rows));
            assert!(borders.is_sorted() && borders == checker.borders(3, 20, rows));
        }
        assert_ne!(checker.borders(3, 20, 16_384), checker.borders(4, 20, 16_384));
        assert_ne!(checker.borders(3, 20, 16_384), Checker::new(8).borders(3, 20, 16_384));
    }
}
