//! Resources: values a world has once. Opaque ones are Rust values; columnar ones are columns in the world's memory,
//! which jobs can be lent.

use std::{
    any::{Any, TypeId, type_name},
    cell::UnsafeCell,
    collections::HashMap,
    sync::Arc,
};

use peristyle_layout::{Field, Scalar, chunk::column_offset};
use peristyle_memory::{Block, Memory, OutOfMemory};

use crate::{
    columnar::{Base, Columnar},
    component::{Columns, Component, SlicesOf},
    hash::TypeMap,
    world::World,
};

/// A resource's number in one world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResourceId(pub(crate) u32);

impl ResourceId {
    /// The number; resources are numbered from 0 in order of registration.
    pub fn index(self) -> u32 {
        self.0
    }
}

type Value = UnsafeCell<Box<dyn Any + Send + Sync>>;

struct Entry {
    name: Arc<str>,
    value: Option<Value>,
    columns: Option<ColumnResource>,
}

/// Columns that a world has once: `rows` rows of some fields.
#[derive(Debug)]
pub struct ColumnResource {
    fields: Arc<[Field]>,
    rows: usize,
    capacity: usize,
    block: Block,
    rust_type: Option<TypeId>,
}

impl ColumnResource {
    pub(crate) fn new(
        memory: &Memory,
        fields: Arc<[Field]>,
        rows: usize,
        rust_type: Option<TypeId>,
    ) -> Result<ColumnResource, OutOfMemory> {
        // Columns start on cache lines whatever the scalar, as in a chunk.
        let capacity = rows.clamp(1, usize::MAX - 64).next_multiple_of(64);
        let row_bytes: usize = fields.iter().map(|field| field.scalar.size()).sum();
        // Where numbers of bytes have 32 bits, a product that has more is refused like any other that is too large.
        let fits = capacity.checked_mul(row_bytes.max(1)).is_some_and(|bytes| bytes < usize::MAX / 2);
        let bytes = if fits { column_offset(capacity, row_bytes, fields.len()) } else { usize::MAX };
        let block = memory.allocate(bytes)?;
        // SAFETY: the block is fresh, as large as it says, and nobody else knows it.
        unsafe { block.ptr().write_bytes(0, block.bytes() as usize) };
        Ok(ColumnResource { fields, rows, capacity, block, rust_type })
    }

    /// Its columns, in order.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn base(&self) -> Base {
        Base { ptr: self.block.ptr().as_ptr(), capacity: self.capacity }
    }

    /// The first element of each column, and its type.
    pub fn columns(&self) -> impl Iterator<Item = (*mut u8, Scalar)> + '_ {
        let mut row_bytes = 0;
        self.fields.iter().enumerate().map(move |(index, field)| {
            let at = self.base().ptr.wrapping_add(column_offset(self.capacity, row_bytes, index));
            row_bytes += field.scalar.size();
            (at, field.scalar)
        })
    }
}

/// The resources of one world.
#[derive(Default)]
pub(crate) struct Resources {
    entries: Vec<Entry>,
    by_type: TypeMap<ResourceId>,
    by_name: HashMap<Arc<str>, ResourceId>,
}

// SAFETY: values are `Send + Sync`; a `&mut` to one is made only through `&mut Resources`, or by a system to which the
// plan gave it alone (`value_mut_unchecked`).
unsafe impl Sync for Resources {}

impl Resources {
    fn named(&mut self, name: &str) -> ResourceId {
        if let Some(id) = self.by_name.get(name) {
            return *id;
        }
        let id = ResourceId(self.entries.len() as u32);
        let name: Arc<str> = name.into();
        self.by_name.insert(name.clone(), id);
        self.entries.push(Entry { name, value: None, columns: None });
        id
    }

    /// The number of an opaque resource's type, whether a value is there or not.
    pub(crate) fn register<R: 'static>(&mut self) -> ResourceId {
        let key = TypeId::of::<R>();
        match self.by_type.get(&key) {
            Some(id) => *id,
            None => {
                let id = self.named(type_name::<R>());
                self.by_type.insert(key, id);
                id
            }
        }
    }

    /// The number of a columnar resource's name, whether columns are there or not.
    pub(crate) fn register_columns(&mut self, name: &str) -> ResourceId {
        self.named(name)
    }

    pub(crate) fn name(&self, id: ResourceId) -> &str {
        &self.entries[id.0 as usize].name
    }

    pub(crate) fn insert<R: Send + Sync + 'static>(&mut self, value: R) -> Option<R> {
        let id = self.register::<R>();
        let old = self.entries[id.0 as usize].value.replace(UnsafeCell::new(Box::new(value)));
        old.and_then(|old| old.into_inner().downcast().ok()).map(|old| *old)
    }

    pub(crate) fn remove<R: 'static>(&mut self) -> Option<R> {
        let id = self.by_type.get(&TypeId::of::<R>())?;
        let old = self.entries[id.0 as usize].value.take();
        old.and_then(|old| old.into_inner().downcast().ok()).map(|old| *old)
    }

    fn value<R: 'static>(&self) -> Option<&Value> {
        let id = self.by_type.get(&TypeId::of::<R>())?;
        self.entries[id.0 as usize].value.as_ref()
    }

    /// # Safety
    /// Nobody has a `&mut` to the resource during `'_`.
    pub(crate) unsafe fn get_unchecked<R: 'static>(&self) -> Option<&R> {
        // SAFETY: the caller's duty.
        self.value::<R>().and_then(|value| unsafe { &*value.get() }.downcast_ref())
    }

    /// # Safety
    /// Nobody else has a reference to the resource during `'_`.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn get_mut_unchecked<R: 'static>(&self) -> Option<&mut R> {
        // SAFETY: the caller's duty.
        self.value::<R>().and_then(|value| unsafe { &mut *value.get() }.downcast_mut())
    }

    pub(crate) fn set_columns(&mut self, name: &str, columns: ColumnResource) -> ResourceId {
        let id = self.register_columns(name);
        self.entries[id.0 as usize].columns = Some(columns);
        id
    }

    pub(crate) fn columns(&self, id: ResourceId) -> Option<&ColumnResource> {
        self.entries.get(id.0 as usize)?.columns.as_ref()
    }

    pub(crate) fn columns_named(&self, name: &str) -> Option<&ColumnResource> {
        self.columns(*self.by_name.get(name)?)
    }

    /// The columns of `C`, if they were made from it.
    pub(crate) fn columns_of<C: Component<Storage = Columns<C>> + Columnar>(&self) -> Option<&ColumnResource> {
        self.columns_named(C::NAME).filter(|columns| columns.rust_type == Some(TypeId::of::<C>()))
    }
}

impl World {
    /// Calls `f` with the world and the columns of `C` that it has once, which are out of the world meanwhile. Gives
    /// `None` if they are not there.
    ///
    /// Columns that `f` puts into the world under the same name are dropped for those.
    pub fn columns_scope<C, R>(&mut self, f: impl FnOnce(&mut World, SlicesOf<'_, C>) -> R) -> Option<R>
    where
        C: Component<Storage = Columns<C>> + Columnar,
    {
        self.resources.columns_of::<C>()?;
        let id = self.resources.register_columns(C::NAME);
        let columns = self.resources.entries[id.0 as usize].columns.take()?;
        // SAFETY: the columns are `C`'s, and owned by this call.
        let result = f(self, unsafe { C::slices(columns.base(), 0..columns.rows()) });
        self.resources.entries[id.0 as usize].columns = Some(columns);
        Some(result)
    }
}
