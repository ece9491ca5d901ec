//! Columns that a job has once, beside the rows of a world: `snap.res[name]`.
//!
//! They belong to whoever made them, and are locked while a job has them: in all ways of offloading, and by however many
//! jobs share them. A job that only reads locks them like one that writes, for nothing keeps a script from writing what it
//! is lent.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use peristyle_jobs::{Access, Lent, ResourceShape};
use peristyle_layout::{Field, Scalar};
use peristyle_memory::Element;

use crate::{
    block::Block,
    call::lent,
    error::{SnapshotError, SpecError},
    spec::check_fields,
};

/// Columns of one length, given to jobs by name. A handle; clones are the same columns.
///
/// ```
/// use peristyle_offload::{Field, Scalar, SharedColumns};
///
/// let timetable = SharedColumns::new("Timetable", vec![Field::new("start", Scalar::F64)], 3)?;
/// timetable.lock().column_mut::<f64>("start").unwrap().copy_from_slice(&[0.5, 1.0, 1.5]);
/// assert_eq!(timetable.lock().column::<f64>("start").unwrap()[2], 1.5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct SharedColumns(Arc<Inner>);

struct Inner {
    name: String,
    fields: Vec<Field>,
    /// Who locks several does it in this order.
    order: u64,
    data: Mutex<Data>,
}

struct Data {
    block: Block,
    rows: usize,
}

impl SharedColumns {
    /// Columns of `rows` zeroes each.
    ///
    /// # Errors
    /// [`SpecError`] if names collide or cannot be used; [`SpecError::Columns`] if there is no memory.
    pub fn new(name: impl Into<String>, fields: Vec<Field>, rows: usize) -> Result<SharedColumns, SpecError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = name.into();
        check_fields(&name, &fields)?;
        let block = Block::new(fields.iter().map(|field| field.scalar), 0);
        // Relaxed: only that numbers differ counts.
        let order = COUNT.fetch_add(1, Relaxed);
        let columns = SharedColumns(Arc::new(Inner { name, fields, order, data: Mutex::new(Data { block, rows: 0 }) }));
        let resized = columns.lock().resize(rows);
        resized.map_err(|error| SpecError::Columns { name: columns.name().to_owned(), error })?;
        Ok(columns)
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Waits until no job has the columns, and keeps them from jobs until the result is dropped: a thread that holds one
    /// must not run a job that uses them.
    pub fn lock(&self) -> LockedColumns<'_> {
        let data = self.0.data.lock().unwrap_or_else(PoisonError::into_inner);
        LockedColumns { fields: &self.0.fields, data }
    }

    pub(crate) fn shape(&self, access: Access) -> ResourceShape {
        ResourceShape { name: self.0.name.clone(), fields: self.0.fields.clone(), access }
    }
}

impl fmt::Debug for SharedColumns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedColumns").field(&self.0.name).finish()
    }
}

/// Columns that no job has meanwhile.
pub struct LockedColumns<'a> {
    fields: &'a [Field],
    data: MutexGuard<'a, Data>,
}

impl LockedColumns<'_> {
    /// Elements of each column.
    pub fn rows(&self) -> usize {
        self.data.rows
    }

    /// Gives the columns another length. Whether it grows or shrinks, all elements are zero then.
    ///
    /// # Errors
    /// [`SnapshotError`]; there are no rows then.
    pub fn resize(&mut self, rows: usize) -> Result<(), SnapshotError> {
        self.data.rows = 0;
        if u32::try_from(rows).is_err() {
            return Err(SnapshotError::TooManyRows(rows));
        }
        self.data.block.reserve(rows)?;
        self.data.block.clear();
        self.data.rows = rows;
        Ok(())
    }

    fn find(&self, field: &str) -> Option<usize> {
        self.fields.iter().position(|known| known.name == field)
    }

    /// A column; none if there is no such column of `E`.
    pub fn column<E: Element>(&self, field: &str) -> Option<&[E]> {
        self.data.block.column(self.find(field)?, 0..self.data.rows).of()
    }

    /// A column, to write; none if there is no such column of `E`.
    pub fn column_mut<E: Element>(&mut self, field: &str) -> Option<&mut [E]> {
        let (column, rows) = (self.find(field)?, self.data.rows);
        self.data.block.column_mut(column, 0..rows).of()
    }

    /// Appends each column as it is lent. The addresses are good while this lives.
    fn lend(&mut self, out: &mut Vec<Lent>) {
        let (base, rows) = (self.data.block.base(), self.data.rows);
        for column in 0..self.fields.len() {
            let (at, scalar): (usize, Scalar) = match rows {
                0 => (0, self.fields[column].scalar),
                _ => self.data.block.column_at(column, 0),
            };
            out.push(lent(base.wrapping_add(at), rows, scalar));
        }
    }
}

/// Columns of a job, in the order in which they are locked.
#[derive(Debug, Clone, Default)]
pub(crate) struct JobColumns(Vec<(SharedColumns, Access)>);

impl JobColumns {
    /// Adds columns, or a further access to them: writing implies reading.
    ///
    /// # Errors
    /// [`SpecError::DuplicateResource`] if there are others of that name.
    pub(crate) fn add(&mut self, columns: &SharedColumns, access: Access) -> Result<(), SpecError> {
        if let Some((_, known)) = self.0.iter_mut().find(|(known, _)| Arc::ptr_eq(&known.0, &columns.0)) {
            if access == Access::Write {
                *known = access;
            }
            return Ok(());
        }
        if self.0.iter().any(|(known, _)| known.name() == columns.name()) {
            return Err(SpecError::DuplicateResource(columns.name().to_owned()));
        }
        let at = self.0.partition_point(|(known, _)| known.0.order < columns.0.order);
        self.0.insert(at, (columns.clone(), access));
        Ok(())
    }

    pub(crate) fn shapes(&self) -> Vec<ResourceShape> {
        self.0.iter().map(|(columns, access)| columns.shape(*access)).collect()
    }

    pub(crate) fn are_written(&self) -> bool {
        self.0.iter().any(|(_, access)| *access == Access::Write)
    }

    /// Calls `f` with all of them locked, as they are lent, in order.
    pub(crate) fn locked(&self, out: &mut Vec<Lent>, f: &mut dyn FnMut(&[Lent])) {
        fn next(rest: &[(SharedColumns, Access)], out: &mut Vec<Lent>, f: &mut dyn FnMut(&[Lent])) {
            let Some(((columns, _), rest)) = rest.split_first() else { return f(out) };
            let mut locked = columns.lock();
            locked.lend(out);
            next(rest, out, f);
        }
        out.clear();
        next(&self.0, out, f);
        out.clear();
    }

    /// Those of the lent columns that a job may write.
    pub(crate) fn written<'a>(&'a self, lents: &'a [Lent]) -> impl Iterator<Item = &'a Lent> {
        let accesses = self.0.iter().flat_map(|(columns, access)| columns.0.fields.iter().map(move |_| *access));
        lents.iter().zip(accesses).filter(|(_, access)| *access == Access::Write).map(|(lent, _)| lent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(name: &str) -> SharedColumns {
        SharedColumns::new(name, vec![Field::new("x", Scalar::F32), Field::new("n", Scalar::U8)], 3).unwrap()
    }

    #[test]
    fn columns_keep_what_is_written_until_they_are_resized() {
        let columns = columns("A");
        columns.lock().column_mut::<f32>("x").unwrap().copy_from_slice(&[1.0, 2.0, 3.0]);
        assert_eq!(columns.lock().column::<f32>("x").unwrap(), [1.0, 2.0, 3.0]);
        assert_eq!(columns.lock().column::<u8>("n").unwrap(), [0; 3]);
        assert!(columns.lock().column::<u8>("x").is_none() && columns.lock().column::<u8>("z").is_none());
        columns.lock().resize(5).unwrap();
        assert_eq!(columns.lock().column::<f32>("x").unwrap(), [0.0; 5]);
        assert!(columns.lock().resize(usize::MAX).is_err());
        assert_eq!(columns.lock().rows(), 0);
    }

    #[test]
    fn several_are_locked_in_one_order_and_each_once() {
        let (a, b) = (columns("A"), columns("B"));
        let mut all = JobColumns::default();
        all.add(&b, Access::Read).unwrap();
        all.add(&a, Access::Write).unwrap();
        all.add(&b, Access::Read).unwrap();
        let names = |all: &JobColumns| all.shapes().into_iter().map(|shape| shape.name).collect::<Vec<_>>();
        assert_eq!(names(&all), ["A", "B"]);
        assert_eq!(all.add(&columns("A"), Access::Read), Err(SpecError::DuplicateResource("A".into())));
        let (mut room, mut calls) = (Vec::new(), 0);
        all.locked(&mut room, &mut |lents| {
            calls += 1;
            assert_eq!(lents.iter().map(|lent| (lent.len, lent.scalar)).collect::<Vec<_>>(), {
                [(3, Scalar::F32), (3, Scalar::U8), (3, Scalar::F32), (3, Scalar::U8)]
            });
            assert_eq!(all.written(lents).count(), 2);
        });
        assert_eq!((calls, room.len()), (1, 0));
    }

    #[test]
    fn names_that_cannot_be_used_are_refused() {
        let field = |name| Field::new(name, Scalar::F32);
        let duplicate = SharedColumns::new("A", vec![field("x"), field("x")], 1).unwrap_err();
        assert_eq!(duplicate, SpecError::DuplicateColumn { component: "A".into(), column: "x".into() });
        assert!(matches!(SharedColumns::new("A", vec![field("1x")], 1), Err(SpecError::ColumnName { .. })));
    }
}
