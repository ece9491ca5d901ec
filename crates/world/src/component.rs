//! Component types: what a component is, and the registry of one world's.

use std::{
    alloc::Layout,
    any::{TypeId, type_name},
    collections::HashMap,
    fmt,
    marker::PhantomData,
    ops::Range,
    sync::Arc,
};

use peristyle_layout::{Entity, Field, layout_hash};

use crate::{
    columnar::{Base, Columnar},
    hash::TypeMap,
    patch::SerdeFns,
};

/// A component's number in one world. Local to that world: files and wires use name and layout hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ComponentId(pub(crate) u32);

impl ComponentId {
    /// The number; components are numbered from 0 in order of registration.
    pub fn index(self) -> u32 {
        self.0
    }
}

impl fmt::Display for ComponentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// A Rust type that entities can have. Derive it.
///
/// # Safety
/// [`Component::Storage`] must be [`Columns`] or [`Opaque`] of the type itself.
pub unsafe trait Component: Sized + Send + Sync + 'static {
    /// The component's name, unique in a world.
    const NAME: &'static str;
    /// How its values are kept: [`Columns`] or [`Opaque`].
    type Storage: Storage<Self>;
}

/// What a query gives for a chunk of `&C`.
pub type SlicesOf<'a, C> = <<C as Component>::Storage as Storage<C>>::Slices<'a>;
/// What a query gives for a chunk of `&mut C`.
pub type SlicesMutOf<'a, C> = <<C as Component>::Storage as Storage<C>>::SlicesMut<'a>;
/// What a query gives for a row of `&C`: the value if it lies in columns, else a reference.
pub type RowOf<'a, C> = <<C as Component>::Storage as Storage<C>>::Row<'a>;
/// What a query gives for a row of `&mut C`.
pub type RowMutOf<'a, C> = <<C as Component>::Storage as Storage<C>>::RowMut<'a>;

/// How values of `C` are kept in a table.
///
/// # Safety
/// The functions must touch only the column that `kind` describes, as `kind` describes it.
pub unsafe trait Storage<C> {
    /// A chunk's rows, to read.
    type Slices<'a>;
    /// A chunk's rows, to write.
    type SlicesMut<'a>;
    /// One row, to read.
    type Row<'a>;
    /// One row, to write.
    type RowMut<'a>;

    /// What the columns are.
    fn kind() -> Kind;
    /// Replaces the entity handles in a value.
    fn remap(value: &mut C, map: &mut dyn FnMut(Entity) -> Entity);

    /// The column's `rows`.
    ///
    /// # Safety
    /// `base` is this component's in a live chunk, `rows` are below its length, nobody writes them during `'a`.
    unsafe fn slices<'a>(base: Base, rows: Range<usize>) -> Self::Slices<'a>;
    /// The column's `rows`, to write.
    ///
    /// # Safety
    /// As `slices`, and nobody else reads them during `'a`.
    unsafe fn slices_mut<'a>(base: Base, rows: Range<usize>) -> Self::SlicesMut<'a>;
    /// One row.
    ///
    /// # Safety
    /// As `slices`, for one row.
    unsafe fn row<'a>(base: Base, row: usize) -> Self::Row<'a>;
    /// One row, to write.
    ///
    /// # Safety
    /// As `slices_mut`, for one row.
    unsafe fn row_mut<'a>(base: Base, row: usize) -> Self::RowMut<'a>;
    /// Asks for the cache lines of a row that is reached soon.
    #[inline(always)]
    fn prefetch(base: Base, row: usize) {
        base.prefetch::<C>(row);
    }
    /// Puts a value where none is.
    ///
    /// # Safety
    /// `base` is this component's in a live chunk and `row`, below its capacity, holds no value.
    unsafe fn write(value: C, base: Base, row: usize);
    /// Puts a value in place of another, which is dropped.
    ///
    /// # Safety
    /// As `slices_mut`, for one row and the time of the call.
    unsafe fn replace(value: C, base: Base, row: usize);
}

/// Values split into columns of scalars in the world's memory, where jobs reach them.
pub struct Columns<C>(PhantomData<C>);

// SAFETY: every function passes its duties on to the `Columnar` implementation that also described the fields.
unsafe impl<C: Columnar> Storage<C> for Columns<C> {
    type Slices<'a> = C::Slices<'a>;
    type SlicesMut<'a> = C::SlicesMut<'a>;
    type Row<'a> = C;
    type RowMut<'a> = C::RowMut<'a>;

    fn kind() -> Kind {
        let mut fields = Vec::with_capacity(C::COLUMNS);
        C::fields("", &mut fields);
        Kind::Columnar(fields.into())
    }
    fn remap(value: &mut C, map: &mut dyn FnMut(Entity) -> Entity) {
        value.remap(map);
    }
    #[inline(always)]
    unsafe fn slices<'a>(base: Base, rows: Range<usize>) -> C::Slices<'a> {
        // SAFETY: the caller's duties are the same.
        unsafe { C::slices(base, rows) }
    }
    #[inline(always)]
    unsafe fn slices_mut<'a>(base: Base, rows: Range<usize>) -> C::SlicesMut<'a> {
        // SAFETY: the caller's duties are the same.
        unsafe { C::slices_mut(base, rows) }
    }
    #[inline(always)]
    unsafe fn row<'a>(base: Base, row: usize) -> Self::Row<'a> {
        // SAFETY: the caller's duties are the same.
        unsafe { C::read(base, row) }
    }
    #[inline(always)]
    unsafe fn row_mut<'a>(base: Base, row: usize) -> C::RowMut<'a> {
        // SAFETY: the caller's duties are the same.
        unsafe { C::row_mut(base, row) }
    }
    #[inline(always)]
    fn prefetch(base: Base, row: usize) {
        C::prefetch(base, row);
    }
    #[inline(always)]
    unsafe fn write(value: C, base: Base, row: usize) {
        // SAFETY: the caller's duties are the same.
        unsafe { value.write(base, row) }
    }
    #[inline(always)]
    unsafe fn replace(value: C, base: Base, row: usize) {
        // SAFETY: the caller's duties are the same; a columnar value needs no drop.
        unsafe { value.write(base, row) }
    }
}

/// Any Rust values, side by side on the heap, out of reach of jobs.
pub struct Opaque<C>(PhantomData<C>);

// SAFETY: the column holds values of `C`, as `kind` says, and every function treats it so.
unsafe impl<C: Send + Sync + 'static> Storage<C> for Opaque<C> {
    type Slices<'a> = &'a [C];
    type SlicesMut<'a> = &'a mut [C];
    type Row<'a> = &'a C;
    type RowMut<'a> = &'a mut C;

    fn kind() -> Kind {
        unsafe fn drop_value<C>(value: *mut u8) {
            // SAFETY: the caller vouches for a live `C` that nobody uses afterwards.
            unsafe { value.cast::<C>().drop_in_place() }
        }
        Kind::Opaque(OpaqueType {
            layout: Layout::new::<C>(),
            drop: std::mem::needs_drop::<C>().then_some(drop_value::<C> as unsafe fn(*mut u8)),
        })
    }
    fn remap(_: &mut C, _: &mut dyn FnMut(Entity) -> Entity) {}
    #[inline(always)]
    unsafe fn slices<'a>(base: Base, rows: Range<usize>) -> &'a [C] {
        // SAFETY: rows below the length hold values; the caller vouches for access.
        unsafe { std::slice::from_raw_parts(base.element(rows.start), rows.len()) }
    }
    #[inline(always)]
    unsafe fn slices_mut<'a>(base: Base, rows: Range<usize>) -> &'a mut [C] {
        // SAFETY: as above, exclusively.
        unsafe { std::slice::from_raw_parts_mut(base.element(rows.start), rows.len()) }
    }
    #[inline(always)]
    unsafe fn row<'a>(base: Base, row: usize) -> &'a C {
        // SAFETY: as above, for one row.
        unsafe { &*base.element(row) }
    }
    #[inline(always)]
    unsafe fn row_mut<'a>(base: Base, row: usize) -> &'a mut C {
        // SAFETY: as above, for one row.
        unsafe { &mut *base.element(row) }
    }
    #[inline(always)]
    unsafe fn write(value: C, base: Base, row: usize) {
        // SAFETY: the row is below the capacity and holds nothing that would need a drop.
        unsafe { base.element::<C>(row).write(value) }
    }
    #[inline(always)]
    unsafe fn replace(value: C, base: Base, row: usize) {
        // SAFETY: the row holds a value and nobody else uses it.
        unsafe { *base.element::<C>(row) = value }
    }
}

/// What a component's column holds.
#[derive(Debug, Clone)]
pub enum Kind {
    /// Columns of scalars in the world's memory.
    Columnar(Arc<[Field]>),
    /// Rust values on the heap.
    Opaque(OpaqueType),
}

/// Size, alignment and drop of an opaque component.
#[derive(Debug, Clone, Copy)]
pub struct OpaqueType {
    pub(crate) layout: Layout,
    pub(crate) drop: Option<unsafe fn(*mut u8)>,
}

/// One registered component type.
#[derive(Debug, Clone)]
pub struct ComponentInfo {
    id: ComponentId,
    name: Arc<str>,
    kind: Kind,
    rust_type: Option<(TypeId, &'static str)>,
    serde: Option<SerdeFns>,
}

impl ComponentInfo {
    /// Its number in this world.
    pub fn id(&self) -> ComponentId {
        self.id
    }
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
    /// Whether values of this opaque component can cross: see [`World::register_serde`](crate::World::register_serde).
    pub fn has_serde(&self) -> bool {
        self.serde().is_some()
    }

    /// Its columns; empty for an opaque one.
    pub fn fields(&self) -> &[Field] {
        match &self.kind {
            Kind::Columnar(fields) => fields,
            Kind::Opaque(_) => &[],
        }
    }
    /// Whether it lies in columns that jobs can reach.
    pub fn is_columnar(&self) -> bool {
        matches!(self.kind, Kind::Columnar(_))
    }
    /// Hash of its columns; see [`layout_hash`].
    pub fn layout_hash(&self) -> u64 {
        layout_hash(self.fields())
    }
    pub(crate) fn shared_name(&self) -> Arc<str> {
        self.name.clone()
    }
    pub(crate) fn kind(&self) -> &Kind {
        &self.kind
    }
    pub(crate) fn serde(&self) -> Option<SerdeFns> {
        self.serde
    }
}

/// Why a component type could not be defined at run time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DefineError {
    /// The world has a component of that name already.
    #[error("a component named `{0}` exists already")]
    DuplicateName(String),
    /// The world has no component of that name.
    #[error("no component named `{0}` is defined")]
    Undefined(String),
    /// The component was defined with other columns than its type has.
    #[error("component `{component}` is defined with the columns {defined}, not {columns}")]
    OtherColumns {
        /// The component.
        component: String,
        /// Columns that it was defined with.
        defined: String,
        /// Columns of the type.
        columns: String,
    },
    /// Two fields have the same name.
    #[error("component `{component}` has two fields named `{field}`")]
    DuplicateField {
        /// The component.
        component: String,
        /// The field.
        field: String,
    },
    /// A field's name is not an identifier.
    #[error("component `{component}`: `{field}` is not a name for a field (letters, digits and _ , no digit first)")]
    FieldName {
        /// The component.
        component: String,
        /// The field.
        field: String,
    },
}

/// Columns, for messages.
fn told(fields: &[Field]) -> String {
    let fields: Vec<String> = fields.iter().map(|field| format!("{}: {}", field.name, field.scalar)).collect();
    format!("({})", fields.join(", "))
}

/// A name that two fields have.
fn duplicate(fields: &[Field]) -> Option<&str> {
    let mut names: Vec<&str> = fields.iter().map(|field| &*field.name).collect();
    names.sort_unstable();
    names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}

/// The component types of one world.
#[derive(Debug, Default)]
pub struct Components {
    infos: Vec<ComponentInfo>,
    by_type: TypeMap<ComponentId>,
    by_name: HashMap<Arc<str>, ComponentId>,
}

impl Components {
    /// Gives a component that was [defined](Components::define) at run time, under `C`'s name and with `C`'s columns, its Rust
    /// type: from then on both are the same component.
    ///
    /// # Errors
    /// [`DefineError::Undefined`], [`DefineError::OtherColumns`]; [`DefineError::DuplicateName`] if it is another type's.
    pub fn adopt<C: Component>(&mut self) -> Result<ComponentId, DefineError> {
        let id = *self.by_name.get(C::NAME).ok_or_else(|| DefineError::Undefined(C::NAME.to_owned()))?;
        let info = &mut self.infos[id.0 as usize];
        if let Some((known, _)) = info.rust_type {
            let is_same = known == TypeId::of::<C>();
            return if is_same { Ok(id) } else { Err(DefineError::DuplicateName(C::NAME.to_owned())) };
        }
        let kind = C::Storage::kind();
        let columns: &[Field] = if let Kind::Columnar(fields) = &kind { fields } else { &[] };
        if !matches!(kind, Kind::Columnar(_)) || columns != info.fields() {
            let (component, defined) = (C::NAME.to_owned(), told(info.fields()));
            return Err(DefineError::OtherColumns { component, defined, columns: told(columns) });
        }
        info.rust_type = Some((TypeId::of::<C>(), type_name::<C>()));
        self.by_type.insert(TypeId::of::<C>(), id);
        Ok(id)
    }

    /// The number of `C`, registering it if it is new; it [adopts](Components::adopt) a component that was defined.
    ///
    /// # Panics
    /// If another type is registered under `C`'s name: give one of them `#[component(name = "...")]`. If one was defined
    /// under that name with other columns. If two of its columns have the same name: `a.b` and `a_b` are both `a_b`.
    pub fn register<C: Component>(&mut self) -> ComponentId {
        if let Some(id) = self.by_type.get(&TypeId::of::<C>()) {
            return *id;
        }
        match self.adopt::<C>() {
            Ok(id) => return id,
            Err(DefineError::Undefined(_)) => {}
            Err(DefineError::OtherColumns { component, defined, columns }) => panic!(
                "component `{component}` was defined with the columns {defined}, and {} has {columns}",
                type_name::<C>()
            ),
            Err(_) => {
                let other = self.by_name(C::NAME).and_then(|info| info.rust_type);
                let other = other.map_or("a type defined at run time", |(_, name)| name);
                panic!("components {} and {other} are both named `{}`", type_name::<C>(), C::NAME);
            }
        }
        let kind = C::Storage::kind();
        if let Kind::Columnar(fields) = &kind
            && let Some(field) = duplicate(fields)
        {
            panic!("component `{}` has two fields named `{field}`", C::NAME);
        }
        let id = self.push(C::NAME.into(), kind, Some((TypeId::of::<C>(), type_name::<C>())));
        self.by_type.insert(TypeId::of::<C>(), id);
        id
    }

    /// Defines a columnar component that has no Rust type.
    ///
    /// # Errors
    /// [`DefineError`] if the name is taken or a field's name is unusable.
    pub fn define(&mut self, name: &str, fields: Vec<Field>) -> Result<ComponentId, DefineError> {
        if self.by_name.contains_key(name) {
            return Err(DefineError::DuplicateName(name.to_owned()));
        }
        if let Some(field) = duplicate(&fields) {
            return Err(DefineError::DuplicateField { component: name.to_owned(), field: field.to_owned() });
        }
        for field in &fields {
            let is_start = |c: char| c.is_ascii_alphabetic() || c == '_';
            let valid =
                field.name.starts_with(is_start) && field.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if !valid {
                return Err(DefineError::FieldName { component: name.to_owned(), field: field.name.clone() });
            }
        }
        Ok(self.push(name.into(), Kind::Columnar(fields.into()), None))
    }

    pub(crate) fn set_serde(&mut self, id: ComponentId, serde: SerdeFns) {
        self.infos[id.0 as usize].serde = Some(serde);
    }

    fn push(&mut self, name: Arc<str>, kind: Kind, rust_type: Option<(TypeId, &'static str)>) -> ComponentId {
        let id = ComponentId(u32::try_from(self.infos.len()).expect("fewer than 2^32 component types"));
        self.by_name.insert(name.clone(), id);
        self.infos.push(ComponentInfo { id, name, kind, rust_type, serde: None });
        id
    }

    /// The number of `C`, if it is registered.
    #[inline]
    pub fn id_of<C: Component>(&self) -> Option<ComponentId> {
        self.by_type.get(&TypeId::of::<C>()).copied()
    }

    /// The component of that name.
    pub fn by_name(&self, name: &str) -> Option<&ComponentInfo> {
        self.by_name.get(name).map(|id| self.info(*id))
    }

    /// What is known of a component.
    ///
    /// # Panics
    /// If the number is another world's.
    pub fn info(&self, id: ComponentId) -> &ComponentInfo {
        &self.infos[id.0 as usize]
    }

    /// Every component, in order of registration.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &ComponentInfo> {
        self.infos.iter()
    }
}
