//! How Rust values lie in columns.
//!
//! A [`Columnar`] value is spread over the columns of a chunk: scalar after scalar, each in a column of its own. Where
//! its first column starts is a [`Base`]; the others follow at distances that depend on the chunk's capacity alone, so
//! reading a row compiles to a few loads.

use std::ops::Range;

use peristyle_layout::{Entity, Field, Scalar, chunk::column_offset, schema::Described};
use peristyle_memory::{Bool, Element};

/// Where a value's first column starts, in a chunk of `capacity` rows.
///
/// For an opaque component it is the first value of a heap buffer instead.
#[derive(Debug, Clone, Copy)]
pub struct Base {
    pub(crate) ptr: *mut u8,
    pub(crate) capacity: usize,
}

impl Base {
    /// Where the columns of the value after a `T` start.
    #[inline(always)]
    pub fn after<T: Columnar>(self) -> Base {
        Base { ptr: self.ptr.wrapping_add(column_offset(self.capacity, T::ROW_BYTES, T::COLUMNS)), ..self }
    }

    #[inline(always)]
    pub(crate) fn element<T>(self, row: usize) -> *mut T {
        self.ptr.cast::<T>().wrapping_add(row)
    }
}

impl Base {
    /// Asks for the cache line of a row of a column of `T`.
    #[inline(always)]
    pub(crate) fn prefetch<T>(self, row: usize) {
        prefetch(self.element::<T>(row));
    }
}

/// Rows of a chunk that holds one value: as many as align every column to what its scalar asks for.
const ROWS: usize = 8;

/// A value's scalars in order, little-endian, nothing between: what a patch carries.
pub fn pack<C: Columnar>(value: C) -> Vec<u8> {
    let mut chunk = vec![0_u64; column_offset(ROWS, C::ROW_BYTES, C::COLUMNS).div_ceil(size_of::<u64>())];
    let base = Base { ptr: chunk.as_mut_ptr().cast(), capacity: ROWS };
    // SAFETY: the columns lie in the chunk, which nobody else knows.
    unsafe { value.write(base, 0) };
    let mut fields = Vec::with_capacity(C::COLUMNS);
    C::fields("", &mut fields);
    let (mut packed, mut columns) = (Vec::with_capacity(C::ROW_BYTES), 0);
    for field in fields {
        let at = base.ptr.wrapping_add(column_offset(ROWS, packed.len(), columns));
        // SAFETY: the column's first element, which was written or is zero.
        packed.extend_from_slice(unsafe { std::slice::from_raw_parts(at, field.scalar.size()) });
        columns += 1;
    }
    packed
}

/// The value whose scalars these are, as [`pack`] gives them; none if there are not as many bytes.
pub fn unpack<C: Columnar>(packed: &[u8]) -> Option<C> {
    if packed.len() != C::ROW_BYTES {
        return None;
    }
    let mut chunk = vec![0_u64; column_offset(ROWS, C::ROW_BYTES, C::COLUMNS).div_ceil(size_of::<u64>())];
    let base = Base { ptr: chunk.as_mut_ptr().cast(), capacity: ROWS };
    let mut fields = Vec::with_capacity(C::COLUMNS);
    C::fields("", &mut fields);
    let mut first = 0;
    for (columns, field) in fields.iter().enumerate() {
        let (at, bytes) = (column_offset(ROWS, first, columns), &packed[first..first + field.scalar.size()]);
        // SAFETY: the column's first element, inside of the chunk, which nobody else knows.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), base.ptr.add(at), bytes.len()) };
        first += bytes.len();
    }
    // SAFETY: the chunk has the row; any bytes are elements.
    Some(unsafe { C::read(base, 0) })
}

/// Asks for a cache line, where the machine can be asked.
#[inline(always)]
pub(crate) fn prefetch<T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing and cannot fault.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// Is shown the columns of a value that lies somewhere in an `Outer`, as functions that reach one scalar of it.
///
/// What copies Rust values that lie side by side into columns, and back, is made of these: each pair of functions is a
/// type of its own, so a loop over rows compiles to loads and stores.
pub trait ColumnVisitor<Outer> {
    /// One column, of `E`.
    fn column<E: Element>(
        &mut self,
        get: impl Fn(&Outer) -> E + Send + Sync + 'static,
        set: impl Fn(&mut Outer, E) + Send + Sync + 'static,
    );
}

/// Names a nested field: `pos` in nothing is `pos`, `x` in `pos` is `pos_x`.
pub fn flattened(prefix: &str, name: &str) -> String {
    match prefix {
        "" => name.to_owned(),
        _ => format!("{prefix}_{name}"),
    }
}

/// A value that is spread over columns of scalars. Derive it.
///
/// What cannot be spread has to be an opaque component:
///
/// ```compile_fail,E0277
/// #[derive(Clone, Copy, peristyle_world::Component)]
/// struct Name { text: &'static str }
/// ```
///
/// # Safety
/// `fields` appends exactly [`Columnar::COLUMNS`] fields whose sizes add up to [`Columnar::ROW_BYTES`], and the other
/// functions touch just those columns, in that order and as those scalars, at the rows they are given.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be split into columns of scalars",
    note = "a columnar component is made of numbers, `bool`, `Option<Entity>`, fixed arrays and structs that derive `Columnar`",
    note = "mark the component `#[component(opaque)]` to keep its values on the heap as they are"
)]
pub unsafe trait Columnar: Described + Copy + Send + Sync + 'static {
    /// Bytes of a row over all columns.
    const ROW_BYTES: usize;
    /// Number of columns.
    const COLUMNS: usize;
    /// One slice a field.
    type Slices<'a>;
    /// One mutable slice a field.
    type SlicesMut<'a>;
    /// One mutable reference a field.
    type RowMut<'a>;

    /// Appends the columns, named below `prefix`.
    fn fields(prefix: &str, out: &mut Vec<Field>);

    /// Shows `visitor` every column of a value that lies in an `Outer`, in the order of [`Columnar::fields`]. `get` and
    /// `get_mut` lead from an `Outer` to the value.
    fn visit<Outer: 'static>(
        get: impl Fn(&Outer) -> &Self + Copy + Send + Sync + 'static,
        get_mut: impl Fn(&mut Outer) -> &mut Self + Copy + Send + Sync + 'static,
        visitor: &mut impl ColumnVisitor<Outer>,
    );

    /// The columns' `rows`.
    ///
    /// # Safety
    /// `base` is where a value of this type starts in a live chunk; `rows` are below the chunk's length; nobody writes
    /// them during `'a`.
    unsafe fn slices<'a>(base: Base, rows: Range<usize>) -> Self::Slices<'a>;

    /// The columns' `rows`, to write.
    ///
    /// # Safety
    /// As [`Columnar::slices`], and nobody else reads them either during `'a`.
    unsafe fn slices_mut<'a>(base: Base, rows: Range<usize>) -> Self::SlicesMut<'a>;

    /// As [`Columnar::slices`], of columns that lie anywhere: `next` gives the first of
    /// `rows` elements of one after the other, and is told which scalar is expected there.
    ///
    /// # Safety
    /// `next` gives one column a field, in order, of `rows` elements of its scalar that nobody writes during `'a`.
    unsafe fn slices_at<'a>(next: &mut dyn FnMut(Scalar) -> *mut u8, rows: usize) -> Self::Slices<'a>;

    /// As [`Columnar::slices_at`], to write.
    ///
    /// # Safety
    /// As there, and nobody else reads them either during `'a`.
    unsafe fn slices_mut_at<'a>(next: &mut dyn FnMut(Scalar) -> *mut u8, rows: usize) -> Self::SlicesMut<'a>;

    /// One row, to write in place.
    ///
    /// # Safety
    /// As [`Columnar::slices_mut`], for one row.
    unsafe fn row_mut<'a>(base: Base, row: usize) -> Self::RowMut<'a>;

    /// Reads one row.
    ///
    /// # Safety
    /// As [`Columnar::slices`], for one row and for the time of the call.
    unsafe fn read(base: Base, row: usize) -> Self;

    /// Writes one row.
    ///
    /// # Safety
    /// As [`Columnar::slices_mut`], for one row below the chunk's capacity and for the time of the call.
    unsafe fn write(self, base: Base, row: usize);

    /// Asks for the cache lines of a row that is reached soon.
    #[inline(always)]
    fn prefetch(base: Base, row: usize) {
        let _ = (base, row);
    }

    /// Replaces every entity handle in the value by what `map` gives for it.
    fn remap(&mut self, map: &mut dyn FnMut(Entity) -> Entity) {
        let _ = map;
    }
}

macro_rules! scalar_columns {
    ($($type:ty => $element:ty),*) => {$(
        // SAFETY: one column of `$element`, whose size is that of its scalar; every function touches just that column.
        unsafe impl Columnar for $type {
            const ROW_BYTES: usize = size_of::<$element>();
            const COLUMNS: usize = 1;
            type Slices<'a> = &'a [$element];
            type SlicesMut<'a> = &'a mut [$element];
            type RowMut<'a> = &'a mut $element;

            fn fields(prefix: &str, out: &mut Vec<Field>) {
                out.push(Field::new(if prefix.is_empty() { "value" } else { prefix }, <$element>::SCALAR));
            }
            fn visit<Outer: 'static>(
                get: impl Fn(&Outer) -> &Self + Copy + Send + Sync + 'static,
                get_mut: impl Fn(&mut Outer) -> &mut Self + Copy + Send + Sync + 'static,
                visitor: &mut impl ColumnVisitor<Outer>,
            ) {
                visitor.column(
                    move |outer| <$element>::from(*get(outer)),
                    move |outer, value: $element| *get_mut(outer) = value.into(),
                );
            }
            #[inline(always)]
            unsafe fn slices<'a>(base: Base, rows: Range<usize>) -> &'a [$element] {
                // SAFETY: the caller vouches for the rows, which hold initialised bytes of any pattern.
                unsafe { std::slice::from_raw_parts(base.element(rows.start), rows.len()) }
            }
            #[inline(always)]
            unsafe fn slices_mut<'a>(base: Base, rows: Range<usize>) -> &'a mut [$element] {
                // SAFETY: as above, and the caller vouches for exclusive access.
                unsafe { std::slice::from_raw_parts_mut(base.element(rows.start), rows.len()) }
            }
            unsafe fn slices_at<'a>(next: &mut dyn FnMut(Scalar) -> *mut u8, rows: usize) -> &'a [$element] {
                // SAFETY: the caller vouches for the elements.
                unsafe { std::slice::from_raw_parts(next(<$element>::SCALAR).cast(), rows) }
            }
            unsafe fn slices_mut_at<'a>(next: &mut dyn FnMut(Scalar) -> *mut u8, rows: usize) -> &'a mut [$element] {
                // SAFETY: as above, and the caller vouches for exclusive access.
                unsafe { std::slice::from_raw_parts_mut(next(<$element>::SCALAR).cast(), rows) }
            }
            #[inline(always)]
            unsafe fn row_mut<'a>(base: Base, row: usize) -> &'a mut $element {
                // SAFETY: as above, for one row.
                unsafe { &mut *base.element(row) }
            }
            #[inline(always)]
            unsafe fn read(base: Base, row: usize) -> $type {
                // SAFETY: the caller vouches for the row.
                unsafe { base.element::<$element>(row).read() }.into()
            }
            #[inline(always)]
            unsafe fn write(self, base: Base, row: usize) {
                // SAFETY: the caller vouches for the row.
                unsafe { base.element::<$element>(row).write(self.into()) }
            }
            #[inline(always)]
            fn prefetch(base: Base, row: usize) {
                base.prefetch::<$element>(row);
            }
        }
    )*};
}

scalar_columns!(f32 => f32, f64 => f64, i8 => i8, u8 => u8, i16 => i16, u16 => u16, i32 => i32, u32 => u32,
    i64 => i64, u64 => u64, bool => Bool, Bool => Bool);

/// An entity-valued field is an `f64` column that holds the handle's integer, 0 for none.
// SAFETY: one column of `f64`; every function touches just that column.
unsafe impl Columnar for Option<Entity> {
    const ROW_BYTES: usize = size_of::<f64>();
    const COLUMNS: usize = 1;
    type Slices<'a> = &'a [f64];
    type SlicesMut<'a> = &'a mut [f64];
    type RowMut<'a> = &'a mut f64;

    fn fields(prefix: &str, out: &mut Vec<Field>) {
        out.push(Field::entity(if prefix.is_empty() { "value" } else { prefix }));
    }
    fn visit<Outer: 'static>(
        get: impl Fn(&Outer) -> &Self + Copy + Send + Sync + 'static,
        get_mut: impl Fn(&mut Outer) -> &mut Self + Copy + Send + Sync + 'static,
        visitor: &mut impl ColumnVisitor<Outer>,
    ) {
        visitor.column(
            move |outer| get(outer).map_or(0.0, Entity::to_f64),
            // What is no handle is no entity, as in `read`.
            move |outer, value| *get_mut(outer) = Entity::from_f64(value).ok(),
        );
    }
    #[inline(always)]
    unsafe fn slices<'a>(base: Base, rows: Range<usize>) -> &'a [f64] {
        // SAFETY: the caller's duties are the same.
        unsafe { <f64 as Columnar>::slices(base, rows) }
    }
    #[inline(always)]
    unsafe fn slices_mut<'a>(base: Base, rows: Range<usize>) -> &'a mut [f64] {
        // SAFETY: the caller's duties are the same.
        unsafe { <f64 as Columnar>::slices_mut(base, rows) }
    }
    unsafe fn slices_at<'a>(next: &mut dyn FnMut(Scalar) -> *mut u8, rows: usize) -> &'a [f64] {
        // SAFETY: the caller's duties are the same.
        unsafe { <f64 as Columnar>::slices_at(next, rows) }
    }
    unsafe fn slices_mut_at<'a>(next: &mut dyn FnMut(Scalar) -> *mut u8, rows: usize) -> &'a mut [f64] {
        // SAFETY: the caller's duties are the same.
        unsafe { <f64 as Columnar>::slices_mut_at(next, rows) }
    }
    #[inline(always)]
    unsafe fn row_mut<'a>(base: Base, row: usize) -> &'a mut f64 {
        // SAFETY: the caller's duties are the same.
        unsafe { <f64 as Columnar>::row_mut(base, row) }
    }
    #[inline(always)]
    unsafe fn read(base: Base, row: usize) -> Option<Entity> {
        // A job may have written any number; what is no handle is no entity.
        // SAFETY: the caller's duties are the same.
        Entity::from_f64(unsafe { <f64 as Columnar>::read(base, row) }).ok()
    }
    #[inline(always)]
    unsafe fn write(self, base: Base, row: usize) {
        // SAFETY: the caller's duties are the same.
        unsafe { self.map_or(0.0, Entity::to_f64).write(base, row) }
    }
    #[inline(always)]
    fn prefetch(base: Base, row: usize) {
        base.prefetch::<f64>(row);
    }
    fn remap(&mut self, map: &mut dyn FnMut(Entity) -> Entity) {
        if let Some(entity) = self {
            *entity = map(*entity);
        }
    }
}

/// A fixed array is one column (or group of columns) an element: `values[0]` is `values_0`.
// SAFETY: the elements' columns follow each other, and every function walks them in that order.
unsafe impl<T: Columnar, const N: usize> Columnar for [T; N] {
    const ROW_BYTES: usize = T::ROW_BYTES * N;
    const COLUMNS: usize = T::COLUMNS * N;
    type Slices<'a> = [T::Slices<'a>; N];
    type SlicesMut<'a> = [T::SlicesMut<'a>; N];
    type RowMut<'a> = [T::RowMut<'a>; N];

    fn fields(prefix: &str, out: &mut Vec<Field>) {
        let prefix = if prefix.is_empty() { "values" } else { prefix };
        (0..N).for_each(|index| T::fields(&flattened(prefix, &index.to_string()), out));
    }
    fn visit<Outer: 'static>(
        get: impl Fn(&Outer) -> &Self + Copy + Send + Sync + 'static,
        get_mut: impl Fn(&mut Outer) -> &mut Self + Copy + Send + Sync + 'static,
        visitor: &mut impl ColumnVisitor<Outer>,
    ) {
        for index in 0..N {
            T::visit(move |outer| &get(outer)[index], move |outer| &mut get_mut(outer)[index], visitor);
        }
    }
    #[inline(always)]
    unsafe fn slices<'a>(base: Base, rows: Range<usize>) -> Self::Slices<'a> {
        // SAFETY: the caller's duties hold for each element's columns.
        bases::<T, N>(base).map(|base| unsafe { T::slices(base, rows.clone()) })
    }
    #[inline(always)]
    unsafe fn slices_mut<'a>(base: Base, rows: Range<usize>) -> Self::SlicesMut<'a> {
        // SAFETY: as above; the elements' columns do not overlap.
        bases::<T, N>(base).map(|base| unsafe { T::slices_mut(base, rows.clone()) })
    }
    unsafe fn slices_at<'a>(next: &mut dyn FnMut(Scalar) -> *mut u8, rows: usize) -> Self::Slices<'a> {
        // SAFETY: the caller's duties hold for each element's columns, which follow each other.
        std::array::from_fn(|_| unsafe { T::slices_at(next, rows) })
    }
    unsafe fn slices_mut_at<'a>(next: &mut dyn FnMut(Scalar) -> *mut u8, rows: usize) -> Self::SlicesMut<'a> {
        // SAFETY: as above.
        std::array::from_fn(|_| unsafe { T::slices_mut_at(next, rows) })
    }
    #[inline(always)]
    unsafe fn row_mut<'a>(base: Base, row: usize) -> Self::RowMut<'a> {
        // SAFETY: as above.
        bases::<T, N>(base).map(|base| unsafe { T::row_mut(base, row) })
    }
    #[inline(always)]
    unsafe fn read(base: Base, row: usize) -> Self {
        // SAFETY: as above.
        bases::<T, N>(base).map(|base| unsafe { T::read(base, row) })
    }
    #[inline(always)]
    unsafe fn write(self, base: Base, row: usize) {
        for (value, base) in self.into_iter().zip(bases::<T, N>(base)) {
            // SAFETY: as above.
            unsafe { value.write(base, row) };
        }
    }
    #[inline(always)]
    fn prefetch(base: Base, row: usize) {
        bases::<T, N>(base).iter().for_each(|base| T::prefetch(*base, row));
    }
    fn remap(&mut self, map: &mut dyn FnMut(Entity) -> Entity) {
        self.iter_mut().for_each(|value| value.remap(map));
    }
}

#[inline(always)]
fn bases<T: Columnar, const N: usize>(base: Base) -> [Base; N] {
    let mut next = base;
    std::array::from_fn(|_| {
        let this = next;
        next = this.after::<T>();
        this
    })
}
