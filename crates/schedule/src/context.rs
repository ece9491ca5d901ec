//! What a system declares in its setup, and what it reaches with that when it runs.
//!
//! A setup gives tokens: queries and handles on resources. They carry the system's key, and a context takes none but its
//! own system's, so that what was not declared cannot be reached. Keys are unique in the process: a token of another
//! scheduler is another system's too.

use std::{
    marker::PhantomData,
    ops::Range,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use peristyle_world::{
    ChunkFilter, ColumnReader, Columnar, CommandBuffer, Component, ComponentId, Consumer, Query, QueryData,
    QueryFilter, ResourceId, SharedWorld, SlicesMutOf, SlicesOf, World,
};

use crate::{
    access::{Access, Touch},
    slot::Frame,
};

/// The tick that is running.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Tick {
    /// Its number, from 1.
    pub number: u64,
    /// Simulated seconds that it moves the world by.
    pub dt: f64,
    /// Simulated time in seconds.
    pub time: f64,
}

/// Tells the tokens of systems apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SystemKey(u64);

impl SystemKey {
    pub(crate) fn new() -> SystemKey {
        static KEYS: AtomicU64 = AtomicU64::new(0);
        // Relaxed: numbers only have to differ.
        SystemKey(KEYS.fetch_add(1, Relaxed))
    }

    /// # Panics
    /// If a token is another system's.
    #[inline]
    fn owns(self, token: SystemKey) {
        assert!(token == self, "a token or query of another system");
    }
}

/// Where a system declares what it will touch. Given once, when the system is added.
pub struct Setup<'a> {
    pub(crate) world: &'a mut World,
    pub(crate) access: &'a mut Access,
    pub(crate) consumer: Consumer,
    pub(crate) system: SystemKey,
}

/// A query that a system declared. Only that system can walk it.
pub struct SystemQuery<D: QueryData, F: QueryFilter = ()> {
    query: Query<D, F>,
    system: SystemKey,
}

/// The right to read a resource.
pub struct Res<R> {
    system: SystemKey,
    marker: PhantomData<fn() -> R>,
}

/// The right to write a resource.
pub struct ResMut<R> {
    system: SystemKey,
    marker: PhantomData<fn() -> R>,
}

/// The right to read columns that the world has once.
pub struct Columns<C> {
    system: SystemKey,
    marker: PhantomData<fn() -> C>,
}

/// The right to write columns that the world has once.
pub struct ColumnsMut<C> {
    system: SystemKey,
    marker: PhantomData<fn() -> C>,
}

/// The right to read columns of components that are known at run time only.
pub struct ComponentReads {
    /// Ascending.
    ids: Vec<ComponentId>,
    system: SystemKey,
}

/// The right to set despawn bits.
pub struct Despawn {
    system: SystemKey,
}

impl Setup<'_> {
    /// The world as it is now.
    pub fn world(&mut self) -> &mut World {
        self.world
    }

    /// A query for the system.
    ///
    /// # Panics
    /// If it fetches a component twice and writes it.
    pub fn query<D: QueryData>(&mut self) -> SystemQuery<D> {
        self.query_filtered()
    }

    /// A query with filters for the system.
    ///
    /// # Panics
    /// If it fetches a component twice and writes it.
    pub fn query_filtered<D: QueryData, F: QueryFilter>(&mut self) -> SystemQuery<D, F> {
        SystemQuery { query: self.declare_query(), system: self.system }
    }

    pub(crate) fn declare_query<D: QueryData, F: QueryFilter>(&mut self) -> Query<D, F> {
        let query = Query::new(self.world, Some(self.consumer));
        query.reads().iter().for_each(|id| self.access.component(*id, Touch::READ));
        query.writes().iter().for_each(|id| self.access.component(*id, Touch::WRITE));
        query
    }

    fn declare(&mut self, id: ResourceId, touch: Touch) -> SystemKey {
        let before = self.access.touches_resource(id).unwrap_or_default();
        assert!(
            !(before.write || touch.write && before.read),
            "a system declares resource `{}` twice and writes it",
            self.world.resource_name(id)
        );
        self.access.resource(id, touch);
        self.system
    }

    /// The right to read a resource.
    ///
    /// # Panics
    /// If the system writes it too.
    pub fn reads<R: Send + Sync + 'static>(&mut self) -> Res<R> {
        let id = self.world.resource_id::<R>();
        Res { system: self.declare(id, Touch::READ), marker: PhantomData }
    }

    /// The right to write a resource.
    ///
    /// # Panics
    /// If the system declared it already.
    pub fn writes<R: Send + Sync + 'static>(&mut self) -> ResMut<R> {
        let id = self.world.resource_id::<R>();
        ResMut { system: self.declare(id, Touch::WRITE), marker: PhantomData }
    }

    /// The right to read the columns of `C` that the world has once.
    ///
    /// # Panics
    /// If the system writes them too.
    pub fn reads_columns<C: ColumnComponent>(&mut self) -> Columns<C> {
        let id = self.world.column_resource_id(C::NAME);
        Columns { system: self.declare(id, Touch::READ), marker: PhantomData }
    }

    /// The right to write the columns of `C` that the world has once.
    ///
    /// # Panics
    /// If the system declared them already.
    pub fn writes_columns<C: ColumnComponent>(&mut self) -> ColumnsMut<C> {
        let id = self.world.column_resource_id(C::NAME);
        ColumnsMut { system: self.declare(id, Touch::WRITE), marker: PhantomData }
    }

    /// The right to read the columns of some components, chosen at run time: for systems that copy them out of the world, as
    /// publishers of mirrors do.
    pub fn reads_components(&mut self, components: &[ComponentId]) -> ComponentReads {
        let mut ids = components.to_vec();
        ids.sort_unstable();
        ids.dedup();
        ids.iter().for_each(|id| self.access.component(*id, Touch::READ));
        ComponentReads { ids, system: self.system }
    }

    /// The right to set despawn bits. Systems that have it never run side by side.
    pub fn despawns(&mut self) -> Despawn {
        self.access.despawns = true;
        Despawn { system: self.system }
    }
}

/// A component that lies in columns.
pub trait ColumnComponent: Component<Storage = peristyle_world::Columns<Self>> + Columnar {}
impl<C: Component<Storage = peristyle_world::Columns<C>> + Columnar> ColumnComponent for C {}

/// A command buffer that knows whether anybody asked for it: looking into it costs more than a system that does nothing.
pub(crate) struct Recorder<'a> {
    buffer: &'a mut CommandBuffer,
    used: bool,
}

impl<'a> Recorder<'a> {
    pub(crate) fn new(buffer: &'a mut CommandBuffer) -> Recorder<'a> {
        Recorder { buffer, used: false }
    }

    pub(crate) fn is_used(&self) -> bool {
        self.used
    }
}

/// What a system that runs once a frame reaches.
pub struct Context<'a> {
    pub(crate) frame: &'a Frame<'a>,
    pub(crate) commands: Recorder<'a>,
    pub(crate) system: SystemKey,
}

impl<'a> Context<'a> {
    fn world(&self) -> SharedWorld<'a> {
        SharedWorld::new(self.frame.world)
    }

    /// The running tick.
    pub fn tick(&self) -> Tick {
        self.frame.tick
    }

    /// Structural changes, carried out at the end of the stage.
    pub fn commands(&mut self) -> &mut CommandBuffer {
        self.commands.used = true;
        self.commands.buffer
    }

    /// Calls `f` with each row of one of the system's queries.
    ///
    /// # Panics
    /// If the query is not from this system's setup.
    pub fn for_each<D: QueryData, F: QueryFilter>(&mut self, query: &mut SystemQuery<D, F>, f: impl FnMut(D::Row<'_>)) {
        self.system.owns(query.system);
        // SAFETY: the query declared what it touches, so the plan keeps whoever conflicts away until this system is done,
        // and structure stands still until the segment ends. Rows do not outlive `f`, and `self` is borrowed meanwhile, so
        // the system itself walks no other query.
        unsafe { query.query.for_each_shared(self.frame.world, f) }
    }

    /// Calls `f` with each chunk of one of the system's queries.
    ///
    /// # Panics
    /// If the query is not from this system's setup.
    pub fn for_each_chunk<D: QueryData, F: ChunkFilter>(
        &mut self,
        query: &mut SystemQuery<D, F>,
        f: impl FnMut(D::Slices<'_>),
    ) {
        self.system.owns(query.system);
        // SAFETY: as in `for_each`.
        unsafe { query.query.for_each_chunk_shared(self.frame.world, f) }
    }

    /// A resource.
    ///
    /// # Panics
    /// If the world does not have it now, or the token is another system's.
    pub fn resource<R: Send + Sync + 'static>(&self, token: &Res<R>) -> &'a R {
        self.system.owns(token.system);
        // SAFETY: the system declared to read it, so the plan keeps writers away until this run, and with it `'a`, ends;
        // and the system has no `ResMut` of it, for `Setup` gives no two tokens for what is written.
        unsafe { self.world().resource() }.unwrap_or_else(|| missing::<R>())
    }

    /// A resource, to write.
    ///
    /// # Panics
    /// If the world does not have it now, or the token is another system's.
    pub fn resource_mut<'r, R: Send + Sync + 'static>(&self, token: &'r mut ResMut<R>) -> &'r mut R
    where
        'a: 'r,
    {
        self.system.owns(token.system);
        // SAFETY: the system declared to write it, so the plan keeps everybody else away until this run, and with it `'r`,
        // ends; its only token is borrowed for as long as the result.
        unsafe { self.world().resource_mut() }.unwrap_or_else(|| missing::<R>())
    }

    /// Columns that the world has once.
    ///
    /// # Panics
    /// If the world does not have them now, or the token is another system's.
    pub fn columns<C: ColumnComponent>(&self, token: &Columns<C>) -> SlicesOf<'a, C> {
        self.system.owns(token.system);
        // SAFETY: as in `resource`.
        unsafe { self.world().resource_columns::<C>() }.unwrap_or_else(|| missing::<C>())
    }

    /// The columns of the components that the token names. The system must not hold rows of its queries to write meanwhile.
    ///
    /// # Panics
    /// If the token is another system's.
    pub fn column_reader<'r>(&'r mut self, token: &'r ComponentReads) -> ColumnReader<'r> {
        self.system.owns(token.system);
        // SAFETY: the system declared to read these components, so the plan keeps other systems that write them away until
        // this run ends, and structure stands still. The system itself reaches rows to write by `&mut self` only, which is
        // borrowed for as long as the reader is.
        unsafe { ColumnReader::shared(self.world(), &token.ids) }
    }

    /// Columns that the world has once, to write.
    ///
    /// # Panics
    /// If the world does not have them now, or the token is another system's.
    pub fn columns_mut<'r, C: ColumnComponent>(&self, token: &'r mut ColumnsMut<C>) -> SlicesMutOf<'r, C>
    where
        'a: 'r,
    {
        self.system.owns(token.system);
        let world: SharedWorld<'r> = self.world();
        // SAFETY: as in `resource_mut`.
        unsafe { world.resource_columns_mut::<C>() }.unwrap_or_else(|| missing::<C>())
    }
}

fn missing<T>() -> ! {
    panic!("the world has no resource `{}`", std::any::type_name::<T>())
}

/// What a function over rows reaches beside its rows. It is called for many ranges at once, each with its own.
pub struct RangeContext<'a> {
    pub(crate) world: SharedWorld<'a>,
    pub(crate) tick: Tick,
    pub(crate) rows: Range<usize>,
    pub(crate) commands: &'a mut CommandBuffer,
    /// The despawn bits from the range's first row on.
    pub(crate) despawn: *mut u64,
    pub(crate) system: SystemKey,
}

impl<'a> RangeContext<'a> {
    /// The running tick.
    pub fn tick(&self) -> Tick {
        self.tick
    }

    /// Rows in this range.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Structural changes, carried out at the end of the stage in order of rows.
    pub fn commands(&mut self) -> &mut CommandBuffer {
        self.commands
    }

    /// Has a row of this range despawned at the end of the stage.
    ///
    /// # Panics
    /// If `row` is not in the range, or the token is another system's.
    pub fn despawn(&mut self, token: &Despawn, row: usize) {
        assert!(row < self.rows.len(), "row {row} of {}", self.rows.len());
        self.despawn_bits(token)[row / 8] |= 1 << (row % 8);
    }

    /// The despawn bits of this range: bit `i & 7` of byte `i >> 3` has row `i` despawned at the end of the stage.
    ///
    /// # Panics
    /// If the token is another system's.
    #[inline]
    pub fn despawn_bits(&mut self, token: &Despawn) -> &mut [u8] {
        self.system.owns(token.system);
        debug_assert!(self.rows.start.is_multiple_of(64));
        let bytes = self.rows.len().div_ceil(64) * 8;
        // SAFETY: these are the words of the chunk's despawn bits that hold the range, which starts on a word's border and
        // ends on one or with the chunk. This call has the range alone, systems that set despawn bits never run side by
        // side, and the context is borrowed for as long as the bits are.
        unsafe { std::slice::from_raw_parts_mut(self.despawn.cast(), bytes) }
    }

    /// A resource.
    ///
    /// # Panics
    /// If the world does not have it now, or the token is another system's.
    pub fn resource<R: Send + Sync + 'static>(&self, token: &Res<R>) -> &'a R {
        self.system.owns(token.system);
        // SAFETY: as in `Context::resource`; a context of a range gives no way to write a resource at all.
        unsafe { self.world.resource() }.unwrap_or_else(|| missing::<R>())
    }

    /// Columns that the world has once.
    ///
    /// # Panics
    /// If the world does not have them now, or the token is another system's.
    pub fn columns<C: ColumnComponent>(&self, token: &Columns<C>) -> SlicesOf<'a, C> {
        self.system.owns(token.system);
        // SAFETY: as in `resource`.
        unsafe { self.world.resource_columns::<C>() }.unwrap_or_else(|| missing::<C>())
    }
}
