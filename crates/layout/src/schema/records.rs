//! Records as packed bytes: read, written, and taken apart into columns.
//!
//! A record is [`StructLayout::size`] bytes; records follow each other without gaps, so that together they are an array
//! of structs. They need not be aligned in memory. A column's bytes are what a world's columns hold: little-endian,
//! element after element; only records have an order of bytes to choose.

use alloc::{borrow::ToOwned, string::String, vec::Vec};

use super::{Column, RecordError, Shape, StructLayout, Value, ValueError};
use crate::Scalar;

/// In which order the bytes of a number lie in a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ByteOrder {
    /// The lowest byte first, as in columns.
    #[default]
    Little,
    /// The highest byte first.
    Big,
}

/// The most bytes of a scalar.
const SCALAR_BYTES_MAX: usize = 8;

fn read(scalar: Scalar, bytes: &[u8], order: ByteOrder) -> Value {
    let mut own = [0; SCALAR_BYTES_MAX];
    let own = &mut own[..scalar.size()];
    own.copy_from_slice(bytes);
    if order == ByteOrder::Big {
        own.reverse();
    }
    Value::from_le(scalar, own)
}

fn write(value: Value, bytes: &mut [u8], order: ByteOrder) {
    value.to_le(bytes);
    if order == ByteOrder::Big {
        bytes.reverse();
    }
}

/// The value as the column's scalar.
fn fit(column: &Column, value: Value) -> Result<Value, RecordError> {
    value.fit(column.scalar()).map_err(|error| {
        let (path, expected) = (column.path().to_owned(), column.scalar());
        match error {
            ValueError::WrongType => RecordError::WrongType { path, expected, found: value.scalar() },
            ValueError::OutOfRange => RecordError::OutOfRange { path, expected, value },
        }
    })
}

impl StructLayout {
    /// The scalar at `path`.
    fn scalar_at(&self, path: &str) -> Result<&Column, RecordError> {
        let place = self.place(path)?;
        match place.shape {
            Shape::Scalar(_) => Ok(&self.columns[place.columns.start]),
            _ => Err(RecordError::NotAScalar { path: path.to_owned() }),
        }
    }

    /// Checks that a whole record is there.
    fn require_record(&self, bytes: usize) -> Result<(), RecordError> {
        if bytes >= self.size() {
            return Ok(());
        }
        let first = self.columns.iter().find(|column| column.range().end > bytes);
        let path = first.map_or_else(String::new, |column| column.path().to_owned());
        Err(RecordError::TooShort { path, offset: bytes, missing_bytes: self.size() - bytes })
    }

    /// Reads the scalar at `path` of the record at the beginning of `record`. Any byte but 0 is a true `bool`.
    ///
    /// # Errors
    /// [`RecordError::Path`], [`RecordError::NotAScalar`]; [`RecordError::TooShort`] if the field is not in `record`.
    pub fn get(&self, record: &[u8], path: &str, order: ByteOrder) -> Result<Value, RecordError> {
        let column = self.scalar_at(path)?;
        let range = column.range();
        match record.get(range.clone()) {
            Some(bytes) => Ok(read(column.scalar(), bytes, order)),
            None => Err(too_short(column, record.len())),
        }
    }

    /// Writes the scalar at `path` of the record at the beginning of `record`; the value may be of any scalar that fits
    /// ([`Value::fit`]).
    ///
    /// # Errors
    /// As [`StructLayout::get`]; [`RecordError::WrongType`], [`RecordError::OutOfRange`]. Nothing is written then.
    pub fn set(
        &self,
        record: &mut [u8],
        path: &str,
        value: impl Into<Value>,
        order: ByteOrder,
    ) -> Result<(), RecordError> {
        let column = self.scalar_at(path)?;
        let value = fit(column, value.into())?;
        let have = record.len();
        match record.get_mut(column.range()) {
            Some(bytes) => write(value, bytes, order),
            None => return Err(too_short(column, have)),
        }
        Ok(())
    }

    /// Reads the record at the beginning of `record`, one value for each column, in their order.
    ///
    /// # Errors
    /// [`RecordError::TooShort`].
    pub fn read<'a>(
        &'a self,
        record: &'a [u8],
        order: ByteOrder,
    ) -> Result<impl ExactSizeIterator<Item = Value> + 'a, RecordError> {
        self.require_record(record.len())?;
        Ok(self.columns.iter().map(move |column| read(column.scalar(), &record[column.range()], order)))
    }

    /// Writes a whole record to the beginning of `record`: one value for each column, in their order, each of any scalar
    /// that fits ([`Value::fit`]). Padding becomes 0.
    ///
    /// # Errors
    /// [`RecordError::TooShort`], [`RecordError::ValueCount`], [`RecordError::WrongType`], [`RecordError::OutOfRange`].
    /// Nothing is written then.
    pub fn write(&self, values: &[Value], record: &mut [u8], order: ByteOrder) -> Result<(), RecordError> {
        self.require_record(record.len())?;
        if values.len() != self.columns.len() {
            return Err(RecordError::ValueCount { expected: self.columns.len(), found: values.len() });
        }
        let fitted = self.columns.iter().zip(values).map(|(column, value)| fit(column, *value));
        let fitted = fitted.collect::<Result<Vec<Value>, RecordError>>()?;
        record[..self.size()].fill(0);
        for (column, value) in self.columns.iter().zip(fitted) {
            write(value, &mut record[column.range()], order);
        }
        Ok(())
    }

    /// Copies one column out of `records`, an array of structs, into the bytes of a column. A `bool` becomes 0 or 1.
    ///
    /// # Errors
    /// [`RecordError::PartialRecord`]; [`RecordError::ColumnBytes`] unless `out` has the bytes of as many rows.
    ///
    /// # Panics
    /// If there is no such column.
    pub fn gather(&self, column: usize, records: &[u8], order: ByteOrder, out: &mut [u8]) -> Result<(), RecordError> {
        let column = &self.columns[column];
        self.require_rows(column, records.len(), out.len())?;
        let rows = records.chunks_exact(self.size()).map(|record| &record[column.range()]);
        match column.scalar().size() {
            1 => copy::<1>(rows, out.chunks_exact_mut(1), order),
            2 => copy::<2>(rows, out.chunks_exact_mut(2), order),
            4 => copy::<4>(rows, out.chunks_exact_mut(4), order),
            _ => copy::<8>(rows, out.chunks_exact_mut(8), order),
        }
        if column.scalar() == Scalar::Bool {
            out.iter_mut().for_each(|byte| *byte = u8::from(*byte != 0));
        }
        Ok(())
    }

    /// Copies the bytes of a column into `records`, an array of structs, of which it leaves everything else as it is. A
    /// `bool` becomes 0 or 1.
    ///
    /// # Errors
    /// [`RecordError::PartialRecord`]; [`RecordError::ColumnBytes`] unless `values` has the bytes of as many rows.
    ///
    /// # Panics
    /// If there is no such column.
    pub fn scatter(
        &self,
        column: usize,
        values: &[u8],
        records: &mut [u8],
        order: ByteOrder,
    ) -> Result<(), RecordError> {
        let column = &self.columns[column];
        self.require_rows(column, records.len(), values.len())?;
        let rows = records.chunks_exact_mut(self.size()).map(|record| &mut record[column.range()]);
        match column.scalar().size() {
            1 if column.scalar() == Scalar::Bool => {
                rows.zip(values).for_each(|(to, byte)| to[0] = u8::from(*byte != 0));
            }
            1 => copy::<1>(values.chunks_exact(1), rows, order),
            2 => copy::<2>(values.chunks_exact(2), rows, order),
            4 => copy::<4>(values.chunks_exact(4), rows, order),
            _ => copy::<8>(values.chunks_exact(8), rows, order),
        }
        Ok(())
    }

    fn require_rows(&self, column: &Column, bytes: usize, column_bytes: usize) -> Result<(), RecordError> {
        if !bytes.is_multiple_of(self.size()) {
            return Err(RecordError::PartialRecord { bytes, size: self.size() });
        }
        let expected = bytes / self.size() * column.scalar().size();
        if column_bytes == expected {
            return Ok(());
        }
        Err(RecordError::ColumnBytes { path: column.path().to_owned(), expected, found: column_bytes })
    }
}

fn too_short(column: &Column, have: usize) -> RecordError {
    RecordError::TooShort { path: column.path().to_owned(), offset: have, missing_bytes: column.range().end - have }
}

/// Copies elements of `N` bytes, known to the compiler, so that each is a load, perhaps a swap, and a store.
fn copy<'a, const N: usize>(
    from: impl Iterator<Item = &'a [u8]>,
    to: impl Iterator<Item = &'a mut [u8]>,
    order: ByteOrder,
) {
    for (from, to) in from.zip(to) {
        let mut own = [0; N];
        own.copy_from_slice(from);
        if order == ByteOrder::Big {
            own.reverse();
        }
        to.copy_from_slice(&own);
    }
}
