//! How values of one component are checked and written, worked out once a component.

use peristyle_layout::{Entity, PatchBytes, chunk::column_offset};

use super::PatchError;
use crate::{
    columnar::Base,
    component::{ComponentId, Kind},
    hierarchy::{Children, Parent},
    world::World,
};

/// One field: where it lies in a packed value and, from the component's first column, in a chunk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FieldPlan {
    pub(crate) at: usize,
    pub(crate) size: usize,
    pub(crate) column: usize,
    pub(crate) is_entity: bool,
}

impl FieldPlan {
    /// The field's column.
    #[inline(always)]
    pub(crate) fn start(&self, base: Base) -> *mut u8 {
        base.ptr.wrapping_add(column_offset(base.capacity, self.at, self.column))
    }
}

/// What patches need to know of a component.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) component: ComponentId,
    /// Its fields; none for an opaque component.
    pub(crate) fields: Box<[FieldPlan]>,
    /// Bytes of a packed value.
    pub(crate) bytes: usize,
    is_columnar: bool,
    is_reserved: bool,
    has_entities: bool,
    /// Under which single entities of it are reached; of columnar components only.
    pub(crate) reach: u32,
}

impl Plan {
    pub(crate) fn new(world: &mut World, component: ComponentId) -> Plan {
        let info = world.components.info(component);
        let (mut at, mut fields) = (0, Vec::with_capacity(info.fields().len()));
        for (column, field) in info.fields().iter().enumerate() {
            fields.push(FieldPlan { at, size: field.scalar.size(), column, is_entity: field.entity });
            at += field.scalar.size();
        }
        let is_columnar = matches!(info.kind(), Kind::Columnar(_));
        let related = [world.components.id_of::<Parent>(), world.components.id_of::<Children>()];
        Plan {
            component,
            bytes: at,
            is_columnar,
            is_reserved: related.contains(&Some(component)),
            has_entities: fields.iter().any(|field| field.is_entity),
            reach: if is_columnar { world.tables.reach(component) } else { 0 },
            fields: fields.into(),
        }
    }

    /// Whether patches may touch the component at all.
    #[inline]
    pub(crate) fn check(&self, world: &World) -> Result<(), PatchError> {
        if self.is_reserved { Err(PatchError::Reserved(self.name(world))) } else { Ok(()) }
    }

    /// Whether a value is one of this component: packed bytes, or the text for its `serde`.
    #[inline]
    pub(crate) fn check_value<'a>(&self, world: &World, value: PatchBytes<'a>) -> Result<&'a [u8], PatchError> {
        match value {
            PatchBytes::Packed(bytes) if self.is_columnar && bytes.len() == self.bytes => Ok(bytes),
            PatchBytes::Text(text) if !self.is_columnar => Ok(text.as_bytes()),
            PatchBytes::Packed(bytes) if self.is_columnar => Err(PatchError::ValueBytes {
                component: self.name(world),
                expected_bytes: self.bytes,
                found_bytes: bytes.len(),
            }),
            _ if self.is_columnar => Err(PatchError::NotText(self.name(world))),
            _ => Err(PatchError::NotPacked(self.name(world))),
        }
    }

    /// Whether a value can be written as it is: packed, of the right size, and without handles that are to be `mapped`.
    #[inline(always)]
    pub(crate) fn is_plain(&self, value: PatchBytes<'_>, mapped: bool) -> bool {
        let PatchBytes::Packed(bytes) = value else { return false };
        self.is_columnar && bytes.len() == self.bytes && !self.is_reserved && !(mapped && self.has_entities)
    }

    pub(crate) fn is_columnar(&self) -> bool {
        self.is_columnar
    }

    fn name(&self, world: &World) -> String {
        world.components.info(self.component).name().to_owned()
    }

    /// Writes a packed value to a row.
    ///
    /// # Safety
    /// `base` is where the component starts in a live chunk, `row` is below its capacity, and nobody else touches the row.
    #[inline(always)]
    pub(crate) unsafe fn write(&self, base: Base, row: usize, value: &[u8]) {
        debug_assert_eq!(value.len(), self.bytes);
        let (mut from, mut column) = (value.as_ptr(), base.ptr);
        for field in &self.fields {
            // SAFETY: the caller's duty; the fields are the component's, in order, and lie in its packed value.
            unsafe { copy_value(from, column.wrapping_add(row * field.size), field.size) };
            from = from.wrapping_add(field.size);
            column = column.wrapping_add(column_offset(base.capacity, field.size, 1));
        }
    }

    /// A packed value with other entity handles, if `map` gives others for those in it.
    pub(crate) fn remapped(&self, value: &[u8], map: impl Fn(Entity) -> Entity) -> Option<Vec<u8>> {
        if !self.has_entities {
            return None;
        }
        let mut out = None;
        for field in self.fields.iter().filter(|field| field.is_entity) {
            let range = field.at..field.at + field.size;
            let number = value.get(range.clone()).and_then(|bytes| bytes.try_into().ok()).map(f64::from_le_bytes);
            let Some(entity) = number.and_then(|number| Entity::from_f64(number).ok()) else { continue };
            let new = map(entity);
            if new != entity {
                let out = out.get_or_insert_with(|| value.to_vec());
                out[range].copy_from_slice(&new.to_f64().to_le_bytes());
            }
        }
        out
    }
}

/// Copies the value of one field, which need not be aligned in `from`.
///
/// # Safety
/// `from` has `size` bytes, `to` is an element of that size.
#[inline(always)]
pub(crate) unsafe fn copy_value(from: *const u8, to: *mut u8, size: usize) {
    // SAFETY: the caller's duty; the size is one of the four that scalars have.
    unsafe {
        match size {
            1 => to.write(from.read()),
            2 => to.cast::<u16>().write(from.cast::<u16>().read_unaligned()),
            4 => to.cast::<u32>().write(from.cast::<u32>().read_unaligned()),
            _ => to.cast::<u64>().write(from.cast::<u64>().read_unaligned()),
        }
    }
}
