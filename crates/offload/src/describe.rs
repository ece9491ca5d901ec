//! How the Rust values of another world's component become columns.
//!
//! A [`Described`] component is a name and a list of columns, each with two loops: one that copies a slice of values
//! into the column, one that writes some rows back. Both are compiled for that very field, so a row costs a load and a
//! store; only the choice of the loop is dynamic.
//!
//! # Rules
//! - Reading and writing go through the value's own fields: there is no unsafe code here, and values may have fields
//!   that are no numbers, which stay as they are.

use std::{any::type_name, fmt};

use peristyle_layout::{Entity, Field, PatchBytes};
use peristyle_memory::{Bool, Element};
use peristyle_world::{ColumnVisitor, Columnar, unpack};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    block::{ColumnMut, ColumnRef, prefetch},
    patch::PatchFault,
    values::OpaqueValue,
};

/// Copies values into a column of as many rows.
type Gather<C> = Box<dyn Fn(&[C], ColumnMut<'_>) + Send + Sync>;
/// Writes rows, counted from `first`, back into values: `scatter(values, rows, first, column)`.
type Scatter<C> = Box<dyn Fn(&mut [C], &[u32], u32, ColumnRef<'_>) + Send + Sync>;

/// A number as a struct has it: any scalar of columns, or `bool`.
pub trait Numeric: Copy + 'static {
    /// What its column holds.
    type Element: Element;
    /// To the column.
    fn into_element(self) -> Self::Element;
    /// From the column.
    fn from_element(element: Self::Element) -> Self;
}

macro_rules! numeric {
    ($($type:ty => $element:ty),*) => {$(
        impl Numeric for $type {
            type Element = $element;
            #[inline(always)]
            fn into_element(self) -> $element {
                self.into()
            }
            #[inline(always)]
            fn from_element(element: $element) -> $type {
                element.into()
            }
        }
    )*};
}

numeric!(f32 => f32, f64 => f64, i8 => i8, u8 => u8, i16 => i16, u16 => u16, i32 => i32, u32 => u32, i64 => i64,
    u64 => u64, bool => Bool);

/// A component type that says itself what its columns are. Whatever derives [`Columnar`] does; others can do it with
/// [`columns!`](crate::columns).
pub trait Describe: Sized + 'static {
    /// Name and columns.
    fn describe() -> Described<Self>;
}

impl<C: Columnar> Describe for C {
    fn describe() -> Described<C> {
        let mut fields = Vec::with_capacity(C::COLUMNS);
        C::fields("", &mut fields);
        let mut loops = Loops(Vec::with_capacity(fields.len()));
        C::visit(|outer: &C| outer, |outer: &mut C| outer, &mut loops);
        assert_eq!(fields.len(), loops.0.len(), "a columnar type shows as many columns as it names");
        let columns = fields.into_iter().zip(loops.0);
        let columns = columns.map(|(field, (gather, scatter))| DescribedColumn { field, gather, scatter });
        let zeroes = vec![0; C::ROW_BYTES];
        Described::new()
            .with_columns(columns.collect())
            .made_by(move || unpack(&zeroes).expect("as many bytes as it has"))
    }
}

/// Collects the loops of each column.
struct Loops<C>(Vec<(Gather<C>, Scatter<C>)>);

impl<C: 'static> ColumnVisitor<C> for Loops<C> {
    fn column<E: Element>(
        &mut self,
        get: impl Fn(&C) -> E + Send + Sync + 'static,
        set: impl Fn(&mut C, E) + Send + Sync + 'static,
    ) {
        self.0.push((gather_loop(get), scatter_loop(set)));
    }
}

const WRONG_TYPE: &str = "a snapshot's columns have the types of their description";

/// How many rows ahead of the one that is written cache lines are asked for. Scattered rows are each a line of their own
/// in every column, and stores that miss wait for each other.
pub const AHEAD: usize = 24;

fn gather_loop<C: 'static, E: Element>(get: impl Fn(&C) -> E + Send + Sync + 'static) -> Gather<C> {
    Box::new(move |values, column| {
        let column = column.of::<E>().expect(WRONG_TYPE);
        for (out, value) in column.iter_mut().zip(values) {
            *out = get(value);
        }
    })
}

fn scatter_loop<C: 'static, E: Element>(set: impl Fn(&mut C, E) + Send + Sync + 'static) -> Scatter<C> {
    Box::new(move |values, rows, first, column| {
        let column = column.of::<E>().expect(WRONG_TYPE);
        for (at, &row) in rows.iter().enumerate() {
            if let Some(&soon) = rows.get(at + AHEAD) {
                prefetch(column.as_ptr().wrapping_add(soon as usize));
                prefetch(values.as_ptr().wrapping_add((soon - first) as usize));
            }
            set(&mut values[(row - first) as usize], column[row as usize]);
        }
    })
}

struct DescribedColumn<C> {
    field: Field,
    gather: Gather<C>,
    scatter: Scatter<C>,
}

/// How a value crosses that has no columns.
struct Serde<C> {
    /// Makes a copy in the data model of JSON.
    copy: fn(&C) -> serde_json::Result<serde_json::Value>,
    /// Reads a value from JSON text.
    parse: fn(&str) -> serde_json::Result<C>,
}

/// A component's name, and its columns with the loops that fill them.
pub struct Described<C> {
    name: String,
    columns: Vec<DescribedColumn<C>>,
    /// What a new value is before its columns are set.
    make: Option<Box<dyn Fn() -> C + Send + Sync>>,
    /// If it is described by its `serde`.
    serde: Option<Serde<C>>,
}

impl<C: 'static> Described<C> {
    /// A component without columns yet, named like its type.
    ///
    /// Describes a type of another crate, or a type of which only some fields are numbers:
    ///
    /// ```
    /// # use peristyle_offload::Described;
    /// struct Hull { heat: f32, name: String }
    ///
    /// let hull = Described::new().column("heat", |hull: &Hull| hull.heat, |hull, heat| hull.heat = heat);
    /// assert_eq!(hull.name(), "Hull");
    /// ```
    pub fn new() -> Described<C> {
        Described { name: short_name::<C>(), columns: Vec::new(), make: None, serde: None }
    }

    fn with_columns(self, columns: Vec<DescribedColumn<C>>) -> Described<C> {
        Described { columns, ..self }
    }

    /// A component that is no numbers, named like its type: jobs can be shown copies of its values, and set, add and remove
    /// it by patches. Either way values are JSON.
    pub fn by_serde() -> Described<C>
    where
        C: Serialize + DeserializeOwned,
    {
        let serde = Serde { copy: |value| serde_json::to_value(value), parse: |text| serde_json::from_str(text) };
        Described { serde: Some(serde), ..Described::new() }
    }

    /// Says what a value is before its columns are set, where a patch adds the component. Types that are columns altogether
    /// need not say it.
    pub fn made_by(self, make: impl Fn() -> C + Send + Sync + 'static) -> Described<C> {
        Described { make: Some(Box::new(make)), ..self }
    }

    /// Whether it is described by its `serde`, and has no columns.
    pub fn is_opaque(&self) -> bool {
        self.serde.is_some()
    }

    /// The same under another name.
    pub fn named(self, name: impl Into<String>) -> Described<C> {
        Described { name: name.into(), ..self }
    }

    /// Adds a column: how to read it and how to write it.
    pub fn column<N: Numeric>(
        mut self,
        name: &str,
        get: impl Fn(&C) -> N + Send + Sync + 'static,
        set: impl Fn(&mut C, N) + Send + Sync + 'static,
    ) -> Described<C> {
        self.columns.push(DescribedColumn {
            field: Field::new(name, N::Element::SCALAR),
            gather: gather_loop(move |value| get(value).into_element()),
            scatter: scatter_loop(move |value, element| set(value, N::from_element(element))),
        });
        self
    }

    /// The component's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its columns, in order.
    pub fn fields(&self) -> impl Iterator<Item = &Field> {
        self.columns.iter().map(|column| &column.field)
    }

    /// A copy of a value that is described by its `serde`.
    ///
    /// # Errors
    /// Why the `serde` refused, or that there is none.
    pub fn value(&self, value: &C) -> OpaqueValue {
        let Some(Serde { copy, .. }) = &self.serde else { return Err("it lies in columns".to_owned()) };
        copy(value).map_err(|error| error.to_string())
    }

    /// Sets a value to what a patch says: all of it if it is described by its `serde`, else the fields that are columns.
    ///
    /// # Errors
    /// [`PatchFault`]; the value is as it was.
    pub fn set(&self, value: &mut C, patch: PatchBytes<'_>) -> Result<(), PatchFault> {
        let name = || self.name.clone();
        if let Some(Serde { parse, .. }) = &self.serde {
            let PatchBytes::Text(text) = patch else { return Err(PatchFault::NotPacked(name())) };
            *value =
                parse(text).map_err(|error| PatchFault::Value { component: name(), message: error.to_string() })?;
            return Ok(());
        }
        let PatchBytes::Packed(mut bytes) = patch else { return Err(PatchFault::NotText(name())) };
        let expected_bytes = self.fields().map(|field| field.scalar.size()).sum();
        if bytes.len() != expected_bytes {
            return Err(PatchFault::ValueBytes { component: name(), expected_bytes, found_bytes: bytes.len() });
        }
        for column in &self.columns {
            let (first, rest) = bytes.split_at(column.field.scalar.size());
            let mut word = [0; 8];
            word[..first.len()].copy_from_slice(first);
            let word = u64::from_ne_bytes(word);
            (column.scatter)(std::slice::from_mut(value), &[0], 0, ColumnRef::one(&word, column.field.scalar));
            bytes = rest;
        }
        Ok(())
    }

    /// Makes the value that a patch adds.
    ///
    /// # Errors
    /// [`PatchFault`]; [`PatchFault::NotMade`] if the patch cannot say all of it.
    pub fn make(&self, patch: PatchBytes<'_>) -> Result<C, PatchFault> {
        if let (Some(Serde { parse, .. }), PatchBytes::Text(text)) = (&self.serde, patch) {
            let fault = |error: serde_json::Error| error.to_string();
            return parse(text)
                .map_err(|error| PatchFault::Value { component: self.name.clone(), message: fault(error) });
        }
        let Some(make) = &self.make else {
            // What is wrong with the patch comes first.
            return Err(match (&self.serde, patch) {
                (Some(_), _) => PatchFault::NotPacked(self.name.clone()),
                (None, PatchBytes::Packed(_)) => PatchFault::NotMade(self.name.clone()),
                (None, _) => PatchFault::NotText(self.name.clone()),
            });
        };
        let mut value = make();
        self.set(&mut value, patch)?;
        Ok(value)
    }

    /// The fault of an entity that lacks the component.
    pub fn missing(&self, entity: Entity) -> PatchFault {
        PatchFault::Missing { entity, component: self.name.clone() }
    }

    /// Copies a field of `values` into `out`, which is as long.
    ///
    /// # Panics
    /// If there is no such field, or `out` is of another type.
    #[inline]
    pub fn gather(&self, field: usize, values: &[C], out: ColumnMut<'_>) {
        (self.columns[field].gather)(values, out);
    }

    /// Writes a field of some rows of a snapshot back. `values` are the rows from `first` on, `column` has all rows.
    ///
    /// # Panics
    /// If there is no such field or row, or `column` is of another type.
    #[inline]
    pub fn scatter(&self, field: usize, values: &mut [C], rows: &[u32], first: u32, column: ColumnRef<'_>) {
        (self.columns[field].scatter)(values, rows, first, column);
    }
}

impl<C: 'static> Default for Described<C> {
    fn default() -> Described<C> {
        Described::new()
    }
}

impl<C> fmt::Debug for Described<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields: Vec<_> = self.columns.iter().map(|column| &*column.field.name).collect();
        f.debug_struct("Described").field("name", &self.name).field("columns", &fields).finish()
    }
}

/// The type's name without path and parameters.
fn short_name<C>() -> String {
    let name = type_name::<C>();
    let name = name.split('<').next().unwrap_or(name);
    name.rsplit("::").next().unwrap_or(name).to_owned()
}

/// Describes a type by some of its fields, which may be nested: `pos.x` becomes the column `pos_x`.
///
/// ```
/// # use peristyle_offload::{Describe, Described, columns};
/// struct Vec2 { x: f32, y: f32 }
/// struct Hull { pos: Vec2, docked: bool, name: String }
///
/// impl Describe for Hull {
///     fn describe() -> Described<Hull> {
///         columns!(Hull { pos.x, pos.y, docked })
///     }
/// }
/// let names: Vec<_> = Hull::describe().fields().map(|field| field.name.clone()).collect();
/// assert_eq!(names, ["pos_x", "pos_y", "docked"]);
/// ```
#[macro_export]
macro_rules! columns {
    ($type:ty { $($first:ident $(. $rest:ident)*),* $(,)? }) => {
        $crate::Described::<$type>::new()$(.column(
            concat!(stringify!($first) $(, "_", stringify!($rest))*),
            |value: &$type| value.$first$(.$rest)*,
            |value: &mut $type, number| value.$first$(.$rest)* = number,
        ))*
    };
}

#[cfg(test)]
mod tests {
    use peristyle_layout::Scalar;

    use super::*;
    use crate::block::Block;

    #[derive(Columnar, Clone, Copy, Debug, PartialEq)]
    struct Inner {
        a: f32,
        flag: bool,
    }

    #[derive(Columnar, Clone, Copy, Debug, PartialEq)]
    struct Outer {
        n: i64,
        inner: Inner,
        values: [u8; 2],
        target: Option<Entity>,
    }

    fn outer(n: i64) -> Outer {
        let target = (n % 2 == 0).then(|| Entity::new(n as u32, 3));
        Outer { n, inner: Inner { a: n as f32 / 2.0, flag: n % 3 == 0 }, values: [n as u8, 7], target }
    }

    #[test]
    fn every_kind_of_field_goes_out_and_comes_back() {
        let described = Outer::describe();
        let fields: Vec<_> = described.fields().map(|field| (field.name.as_str(), field.scalar)).collect();
        let expected = [
            ("n", Scalar::I64),
            ("inner_a", Scalar::F32),
            ("inner_flag", Scalar::Bool),
            ("values_0", Scalar::U8),
            ("values_1", Scalar::U8),
            ("target", Scalar::F64),
        ];
        assert_eq!((described.name(), &fields[..]), ("Outer", &expected[..]));
        let mut block = Block::new(expected.map(|(_, scalar)| scalar), 0);
        block.reserve(5).unwrap();
        let values: Vec<Outer> = (10..15).map(outer).collect();
        (0..6).for_each(|field| described.gather(field, &values, block.column_mut(field, 0..5)));
        assert_eq!(block.column(1, 0..5).of::<f32>().unwrap(), [5.0, 5.5, 6.0, 6.5, 7.0]);
        assert_eq!(block.column(2, 2..3).of::<Bool>().unwrap(), [Bool::from(true)]);
        // Rows 1 and 3 of the snapshot, into values of which the first is row 1.
        let mut back = vec![outer(0); 4];
        (0..6).for_each(|field| described.scatter(field, &mut back, &[1, 3], 1, block.column(field, 0..5)));
        assert_eq!(back, [outer(11), outer(0), outer(13), outer(0)]);
    }
}
