//! Queries: which chunks, which rows, and typed access to them.
//!
//! A [`QueryState`] knows which tables match and which rows are pending for its consumer; a typed [`Query`] adds what is
//! fetched. `Query<(&mut Position, &Velocity), With<Alive>>` walks every row that has all three.
//!
//! # Row filters
//! [`Changed`] and [`Added`] are alternatives: a row is visited when one of them has it pending. The visited rows' bits
//! are cleared when the walk is over, of this query alone. A new query sees every row once.
//!
//! # What counts as written
//! A walk over `&mut C` counts every visited row as changed, without a look at values. [`Tracked`] counts just the rows
//! that are marked.

use std::{marker::PhantomData, mem::MaybeUninit, ops::Range, sync::Arc};

use peristyle_layout::Entity;
use peristyle_memory::bits::{self, WORD};

use crate::{
    columnar::Base,
    component::{Component, ComponentId, Components, RowMutOf, RowOf, SlicesMutOf, SlicesOf, Storage},
    error::WorldError,
    shared::ChunkRef,
    table::{Chunk, Table, TableId},
    track::{Consumer, Event, Subscription, Track, summary_words},
    world::World,
};

/// Numbers of components and tables are a world's own: with another's, columns would be taken for what they are not.
const OTHER_WORLD: &str = "a query is used on the world that made it";

/// Which rows a query is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QuerySpec {
    /// The entity has all of these.
    pub all: Vec<ComponentId>,
    /// And at least one of each of these groups.
    pub any: Vec<Vec<ComponentId>>,
    /// And none of these.
    pub none: Vec<ComponentId>,
    /// These may be there or not; they restrict nothing.
    pub optional: Vec<ComponentId>,
    /// If there are some of these, or of `added`: one of them changed since the query last saw the row. Implies `all`.
    pub changed: Vec<ComponentId>,
    /// One of these was added since the query last saw the row. Implies `all`.
    pub added: Vec<ComponentId>,
}

/// A query at work: the tables that match, and the rows that are pending.
#[derive(Debug)]
pub struct QueryState {
    spec: QuerySpec,
    consumer: Consumer,
    /// Component and subscription of each row filter.
    filters: Vec<(ComponentId, u32)>,
    /// Subscriptions end when this goes.
    _holder: Arc<()>,
    matched: Vec<TableId>,
    tables_seen: usize,
    /// The world that made it.
    world: u64,
}

impl QueryState {
    /// A query with a consumer of its own, or as part of `consumer`, which does not see its own writes.
    pub fn new(world: &mut World, spec: QuerySpec, consumer: Option<Consumer>) -> QueryState {
        let consumer = consumer.unwrap_or_else(|| world.consumer());
        let holder = Arc::new(());
        let events = spec
            .changed
            .iter()
            .map(|component| (*component, Event::Changed))
            .chain(spec.added.iter().map(|component| (*component, Event::Added)));
        let filters = events
            .map(|(component, event)| {
                // A subscription's number only has to be unique, and consumers' numbers are.
                let id = world.consumer().0;
                world.tables.subscribe(Subscription {
                    id,
                    component,
                    event,
                    consumer,
                    holder: Arc::downgrade(&holder),
                });
                (component, id)
            })
            .collect();
        QueryState { spec, consumer, filters, _holder: holder, matched: Vec::new(), tables_seen: 0, world: world.id }
    }

    /// What it is about.
    pub fn spec(&self) -> &QuerySpec {
        &self.spec
    }

    /// Who it reads and writes for.
    pub fn consumer(&self) -> Consumer {
        self.consumer
    }

    /// Whether it visits pending rows only.
    pub fn has_row_filter(&self) -> bool {
        !self.filters.is_empty()
    }

    /// Takes tables into account that are new since the last call.
    ///
    /// # Panics
    /// If `world` is not the world that made it.
    pub fn refresh(&mut self, world: &World) {
        assert_eq!(self.world, world.id, "{OTHER_WORLD}");
        if self.tables_seen == world.tables.len() {
            return;
        }
        let new = world.tables.iter().skip(self.tables_seen).filter(|table| matches(&self.spec, table));
        self.matched.extend(new.map(|table| table.id));
        self.tables_seen = world.tables.len();
    }

    pub(crate) fn tables(&self) -> &[TableId] {
        &self.matched
    }

    /// The chunks with rows of the query, in order of table and row. With a row filter, those with pending rows.
    pub fn chunks<'a>(&'a self, world: &'a World) -> impl Iterator<Item = ChunkRef> + 'a {
        self.matched.iter().flat_map(move |id| {
            let table = world.tables.table(*id);
            (0..table.chunk_count())
                .filter(move |position| self.is_pending(table, *position))
                .map(move |position| ChunkRef::new(*id, table, position))
        })
    }

    fn is_pending(&self, table: &Table, position: usize) -> bool {
        self.filters.is_empty()
            || self
                .filter_tracks(table)
                .any(|track| (0..summary_words()).any(|word| track.summary(position, word) != 0))
    }

    fn filter_tracks<'a>(&'a self, table: &'a Table) -> impl Iterator<Item = &'a Track> {
        self.filters.iter().filter_map(|(component, id)| table.track(table.column(*component)?, *id))
    }

    /// Calls `f` with each word of the pending bits of `rows` that is not zero, and its number.
    #[inline(always)]
    pub(crate) fn for_each_pending_word(&self, at: At<'_>, rows: &Range<usize>, mut f: impl FnMut(usize, u64)) {
        let mut tracks = self.filter_tracks(at.table);
        if let (Some(track), None) = (tracks.next(), tracks.next()) {
            return track.for_each_word(at.chunk.position, rows, f);
        }
        for word in bits::words_of(rows) {
            let pending = self.pending_word(at.table, at.chunk.position, word) & bits::word_mask(word, rows);
            if pending != 0 {
                f(word, pending);
            }
        }
    }

    fn pending_word(&self, table: &Table, position: usize, word: usize) -> u64 {
        self.filter_tracks(table).fold(0, |bits, track| bits | track.word(position, word))
    }

    /// Copies the pending bits of `rows`, whose first is a multiple of 64, to `out`, one bit a row.
    pub(crate) fn copy_pending(&self, world: &World, chunk: ChunkRef, rows: Range<usize>, out: &mut [u64]) {
        let table = world.tables.table(chunk.table);
        for (out, word) in out.iter_mut().zip(bits::words_of(&rows)) {
            *out = self.pending_word(table, chunk.position as usize, word) & bits::word_mask(word, &rows);
        }
    }

    /// Says that `rows` of a chunk were dealt with: they are pending no more.
    pub fn clear(&self, world: &World, chunk: ChunkRef, rows: Range<usize>) {
        let table = world.tables.table(chunk.table);
        for track in self.filter_tracks(table) {
            track.clear(chunk.position as usize, rows.clone());
        }
    }

    /// Calls `f` for each chunk with pending rows, found by the dirty bits alone; with no row filter, for each chunk.
    #[inline(always)]
    fn for_each_chunk(&self, world: &World, mut f: impl FnMut(ChunkRef)) {
        for id in &self.matched {
            let table = world.tables.table(*id);
            let mut from = 0;
            // One call of `f`, so that it is compiled into the loop.
            while let Some(position) = self.next_chunk(table, from) {
                f(ChunkRef::new(*id, table, position));
                from = position + 1;
            }
        }
    }

    /// The first chunk from `from` on that is to be visited.
    #[inline]
    fn next_chunk(&self, table: &Table, from: usize) -> Option<usize> {
        match self.filters.as_slice() {
            [] => (from < table.chunk_count()).then_some(from),
            [(component, subscription)] => {
                let column = table.column(*component).expect("a filter's component is in every matched table");
                table.track(column, *subscription).expect("the query holds its subscription").next_dirty(from)
            }
            _ => (from..table.chunk_count()).find(|position| self.is_pending(table, *position)),
        }
    }
}

fn matches(spec: &QuerySpec, table: &Table) -> bool {
    let has = |component: &ComponentId| table.column(*component).is_some();
    spec.all.iter().chain(&spec.changed).chain(&spec.added).all(has)
        && spec.any.iter().all(|group| group.iter().any(has))
        && !spec.none.iter().any(has)
}

/// What a typed query needs: its spec, and which components it reads and writes.
#[derive(Debug, Clone, Default)]
pub struct Terms {
    /// Which rows.
    pub spec: QuerySpec,
    /// Components that are fetched to read.
    pub reads: Vec<ComponentId>,
    /// Components that are fetched to write.
    pub writes: Vec<ComponentId>,
}

impl Terms {
    /// # Panics
    /// If a component is fetched twice and one of them writes.
    fn fetch(&mut self, components: &Components, component: ComponentId, writes: bool) {
        let clash = self.writes.contains(&component) || (writes && self.reads.contains(&component));
        assert!(!clash, "a query writes component `{}` and fetches it twice", components.info(component).name());
        if writes { self.writes.push(component) } else { self.reads.push(component) }
    }
}

/// What a query fetches: `&C`, `&mut C`, [`Tracked<C>`], `Option` of these, [`Entity`], or a tuple of such.
///
/// # Safety
/// `declare` must declare every component that the other functions touch, as written if they write it.
pub unsafe trait QueryData {
    /// Component numbers.
    type State: Clone + Send + Sync;
    /// Where a chunk's columns start.
    type Fetch<'w>: Copy;
    /// A run of rows.
    type Slices<'a>;
    /// One row.
    type Row<'a>;

    /// Declares what is fetched.
    fn declare(components: &mut Components, terms: &mut Terms) -> Self::State;

    #[doc(hidden)]
    fn fetch<'w>(world: &'w World, at: At<'w>, state: &Self::State) -> Self::Fetch<'w>;

    /// The `rows` of a chunk.
    ///
    /// # Safety
    /// The rows are in use; during `'a` nobody writes what is read, and nobody else touches what is written.
    unsafe fn slices<'a>(fetch: Self::Fetch<'a>, rows: Range<usize>) -> Self::Slices<'a>;

    /// One row of a chunk.
    ///
    /// # Safety
    /// As [`QueryData::slices`], for one row.
    unsafe fn row<'a>(fetch: Self::Fetch<'a>, row: usize) -> Self::Row<'a>;

    /// Asks for the cache lines of a row that is fetched soon.
    #[doc(hidden)]
    #[inline(always)]
    fn prefetch(fetch: Self::Fetch<'_>, row: usize) {
        let _ = (fetch, row);
    }

    #[doc(hidden)]
    fn settle(at: At<'_>, state: &Self::State, visited: Visited<'_>, writer: Consumer);
}

/// A query that writes nothing.
///
/// # Safety
/// No component is declared as written.
pub unsafe trait ReadOnly: QueryData {}

#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct At<'w> {
    pub(crate) table: &'w Table,
    pub(crate) chunk: &'w Chunk,
}

/// Which rows a walk went over.
#[doc(hidden)]
#[derive(Clone)]
pub enum Visited<'a> {
    All(Range<usize>),
    /// Those that are pending for a query whose bits are not cleared yet.
    Pending(Range<usize>, &'a QueryState),
}

impl Visited<'_> {
    fn rows(&self) -> Range<usize> {
        match self {
            Visited::All(rows) | Visited::Pending(rows, _) => rows.clone(),
        }
    }

    fn mark(&self, at: At<'_>, column: usize, writer: Consumer) {
        let position = at.chunk.position;
        match self {
            Visited::All(rows) => at.table.mark(column, position, rows.clone(), Some(writer)),
            Visited::Pending(rows, query) => query.for_each_pending_word(at, rows, |word, bits| {
                at.table.mark_word(column, position, word, bits, Some(writer));
            }),
        }
    }
}

// SAFETY: the component is declared as read and only read.
unsafe impl<C: Component> QueryData for &C {
    type State = ComponentId;
    type Fetch<'w> = Base;
    type Slices<'a> = SlicesOf<'a, C>;
    type Row<'a> = RowOf<'a, C>;

    fn declare(components: &mut Components, terms: &mut Terms) -> ComponentId {
        let id = components.register::<C>();
        terms.fetch(components, id, false);
        terms.spec.all.push(id);
        id
    }
    #[inline]
    fn fetch<'w>(_: &'w World, at: At<'w>, state: &ComponentId) -> Base {
        at.table.base(at.chunk, at.table.column(*state).expect("a matched table has every component of `all`"))
    }
    #[inline(always)]
    unsafe fn slices<'a>(fetch: Base, rows: Range<usize>) -> SlicesOf<'a, C> {
        // SAFETY: the caller's duties are the same.
        unsafe { C::Storage::slices(fetch, rows) }
    }
    #[inline(always)]
    unsafe fn row<'a>(fetch: Base, row: usize) -> RowOf<'a, C> {
        // SAFETY: the caller's duties are the same.
        unsafe { C::Storage::row(fetch, row) }
    }
    #[inline(always)]
    fn prefetch(fetch: Base, row: usize) {
        C::Storage::prefetch(fetch, row);
    }
    fn settle(_: At<'_>, _: &ComponentId, _: Visited<'_>, _: Consumer) {}
}

// SAFETY: nothing is declared as written.
unsafe impl<C: Component> ReadOnly for &C {}

// SAFETY: the component is declared as written.
unsafe impl<C: Component> QueryData for &mut C {
    type State = ComponentId;
    type Fetch<'w> = Base;
    type Slices<'a> = SlicesMutOf<'a, C>;
    type Row<'a> = RowMutOf<'a, C>;

    fn declare(components: &mut Components, terms: &mut Terms) -> ComponentId {
        let id = components.register::<C>();
        terms.fetch(components, id, true);
        terms.spec.all.push(id);
        id
    }
    #[inline]
    fn fetch<'w>(_: &'w World, at: At<'w>, state: &ComponentId) -> Base {
        at.table.base(at.chunk, at.table.column(*state).expect("a matched table has every component of `all`"))
    }
    #[inline(always)]
    unsafe fn slices<'a>(fetch: Base, rows: Range<usize>) -> SlicesMutOf<'a, C> {
        // SAFETY: the caller's duties are the same.
        unsafe { C::Storage::slices_mut(fetch, rows) }
    }
    #[inline(always)]
    unsafe fn row<'a>(fetch: Base, row: usize) -> RowMutOf<'a, C> {
        // SAFETY: the caller's duties are the same.
        unsafe { C::Storage::row_mut(fetch, row) }
    }
    #[inline(always)]
    fn prefetch(fetch: Base, row: usize) {
        C::Storage::prefetch(fetch, row);
    }
    fn settle(at: At<'_>, state: &ComponentId, visited: Visited<'_>, writer: Consumer) {
        if let Some(column) = at.table.column(*state) {
            visited.mark(at, column, writer);
        }
    }
}

/// Fetches `C` to write, and counts just the marked rows as changed.
pub struct Tracked<C>(PhantomData<C>);

/// The live bits of a run of rows: which of them count as changed. Row 0 is the run's first.
pub struct Marks<'a> {
    words: &'a mut [u64],
    rows: usize,
}

impl Marks<'_> {
    /// Counts a row as changed.
    ///
    /// # Panics
    /// If `row` is not in the run.
    #[inline]
    pub fn mark(&mut self, row: usize) {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        bits::set(self.words, row);
    }

    /// Counts every row of the run as changed.
    pub fn mark_all(&mut self) {
        self.words.fill(u64::MAX);
    }
}

#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct TrackedFetch {
    base: Base,
    live: *mut u64,
}

// SAFETY: the component is declared as written, its live bits with it.
unsafe impl<C: Component> QueryData for Tracked<C> {
    type State = ComponentId;
    type Fetch<'w> = TrackedFetch;
    type Slices<'a> = (SlicesMutOf<'a, C>, Marks<'a>);
    type Row<'a> = (RowMutOf<'a, C>, Mark<'a>);

    fn declare(components: &mut Components, terms: &mut Terms) -> ComponentId {
        <&mut C>::declare(components, terms)
    }
    #[inline]
    fn fetch<'w>(_: &'w World, at: At<'w>, state: &ComponentId) -> TrackedFetch {
        let column = at.table.column(*state).expect("a matched table has every component of `all`");
        TrackedFetch { base: at.table.base(at.chunk, column), live: at.table.bitset(at.chunk, Some(column)) }
    }
    unsafe fn slices<'a>(fetch: TrackedFetch, rows: Range<usize>) -> Self::Slices<'a> {
        assert!(rows.start.is_multiple_of(WORD), "a tracked run starts on a multiple of 64 rows");
        let words = bits::words_of(&rows);
        // SAFETY: the words lie in the component's live bits, which are written by whoever writes the component; runs of
        // different writers share no word.
        let words = unsafe { std::slice::from_raw_parts_mut(fetch.live.add(words.start), words.len()) };
        // SAFETY: the caller's duties are the same.
        (unsafe { C::Storage::slices_mut(fetch.base, rows.clone()) }, Marks { words, rows: rows.len() })
    }
    #[inline(always)]
    unsafe fn row<'a>(fetch: TrackedFetch, row: usize) -> Self::Row<'a> {
        let mark = Mark { word: fetch.live.wrapping_add(row / WORD), mask: 1 << (row % WORD), lifetime: PhantomData };
        // SAFETY: the caller's duties are the same.
        (unsafe { C::Storage::row_mut(fetch.base, row) }, mark)
    }
    #[inline(always)]
    fn prefetch(fetch: TrackedFetch, row: usize) {
        C::Storage::prefetch(fetch.base, row);
    }
    fn settle(at: At<'_>, state: &ComponentId, visited: Visited<'_>, writer: Consumer) {
        if let Some(column) = at.table.column(*state) {
            // SAFETY: the walk is over, so nobody touches the live bits of its rows.
            unsafe { at.table.settle(at.chunk, column, visited.rows(), Some(writer)) };
        }
    }
}

/// The live bit of one row.
pub struct Mark<'a> {
    word: *mut u64,
    mask: u64,
    lifetime: PhantomData<&'a mut u64>,
}

impl Mark<'_> {
    /// Counts the row as changed.
    #[inline]
    pub fn mark(&mut self) {
        // SAFETY: the word lies in the live bits of a component that the walk over this row writes alone.
        unsafe { *self.word |= self.mask }
    }
}

/// The handles of a run of rows.
#[derive(Clone, Copy)]
pub struct Handles<'a> {
    world: &'a World,
    indices: &'a [u32],
}

impl Handles<'_> {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.indices.len()
    }
    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }
    /// The handle of a row.
    ///
    /// # Panics
    /// If `row` is not in the run.
    pub fn get(&self, row: usize) -> Entity {
        self.world.entity(self.indices[row])
    }
    /// The handles, in order of rows.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Entity> + '_ {
        self.indices.iter().map(|index| self.world.entity(*index))
    }
}

#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct EntityFetch<'w> {
    world: &'w World,
    eids: *const u32,
}

// SAFETY: nothing but the entity indices is touched, which only structural changes write.
unsafe impl QueryData for Entity {
    type State = ();
    type Fetch<'w> = EntityFetch<'w>;
    type Slices<'a> = Handles<'a>;
    type Row<'a> = Entity;

    fn declare(_: &mut Components, _: &mut Terms) {}
    fn fetch<'w>(world: &'w World, at: At<'w>, (): &()) -> EntityFetch<'w> {
        EntityFetch { world, eids: at.chunk.eids() }
    }
    unsafe fn slices<'a>(fetch: Self::Fetch<'a>, rows: Range<usize>) -> Self::Slices<'a> {
        // SAFETY: rows in use have an index; nobody writes it while the world is borrowed.
        let indices = unsafe { std::slice::from_raw_parts(fetch.eids.add(rows.start), rows.len()) };
        Handles { world: fetch.world, indices }
    }
    unsafe fn row<'a>(fetch: Self::Fetch<'a>, row: usize) -> Self::Row<'a> {
        // SAFETY: as above.
        fetch.world.entity(unsafe { fetch.eids.add(row).read() })
    }
    fn settle(_: At<'_>, (): &(), _: Visited<'_>, _: Consumer) {}
}

// SAFETY: nothing is declared as written.
unsafe impl ReadOnly for Entity {}

// SAFETY: the term declares what it touches; here it restricts nothing.
unsafe impl<T: QueryData> QueryData for Option<T> {
    type State = (T::State, Vec<ComponentId>);
    type Fetch<'w> = Option<T::Fetch<'w>>;
    type Slices<'a> = Option<T::Slices<'a>>;
    type Row<'a> = Option<T::Row<'a>>;

    fn declare(components: &mut Components, terms: &mut Terms) -> Self::State {
        let before = terms.spec.all.len();
        let state = T::declare(components, terms);
        let own = terms.spec.all.split_off(before);
        terms.spec.optional.extend_from_slice(&own);
        (state, own)
    }
    fn fetch<'w>(world: &'w World, at: At<'w>, state: &Self::State) -> Self::Fetch<'w> {
        let present = state.1.iter().all(|component| at.table.column(*component).is_some());
        present.then(|| T::fetch(world, at, &state.0))
    }
    unsafe fn slices<'a>(fetch: Self::Fetch<'a>, rows: Range<usize>) -> Self::Slices<'a> {
        // SAFETY: the caller's duties are the same.
        fetch.map(|fetch| unsafe { T::slices(fetch, rows) })
    }
    #[inline]
    unsafe fn row<'a>(fetch: Self::Fetch<'a>, row: usize) -> Self::Row<'a> {
        // SAFETY: the caller's duties are the same.
        fetch.map(|fetch| unsafe { T::row(fetch, row) })
    }
    #[inline(always)]
    fn prefetch(fetch: Self::Fetch<'_>, row: usize) {
        if let Some(fetch) = fetch {
            T::prefetch(fetch, row);
        }
    }
    fn settle(at: At<'_>, state: &Self::State, visited: Visited<'_>, writer: Consumer) {
        T::settle(at, &state.0, visited, writer);
    }
}

// SAFETY: the term declares nothing as written.
unsafe impl<T: ReadOnly> ReadOnly for Option<T> {}

macro_rules! data_tuples {
    ($(($($name:ident $index:tt),*))*) => {$(
        // SAFETY: each term declares what it touches, and two that clash panic in `Terms::fetch`.
        unsafe impl<$($name: QueryData),*> QueryData for ($($name,)*) {
            type State = ($($name::State,)*);
            type Fetch<'w> = ($($name::Fetch<'w>,)*);
            type Slices<'a> = ($($name::Slices<'a>,)*);
            type Row<'a> = ($($name::Row<'a>,)*);

            #[allow(clippy::unused_unit)]
            fn declare(components: &mut Components, terms: &mut Terms) -> Self::State {
                let _ = (&components, &terms);
                ($($name::declare(components, terms),)*)
            }
            #[inline]
            #[allow(clippy::unused_unit)]
            fn fetch<'w>(world: &'w World, at: At<'w>, state: &Self::State) -> Self::Fetch<'w> {
                let _ = (world, at, state);
                ($($name::fetch(world, at, &state.$index),)*)
            }
            #[inline(always)]
            #[allow(clippy::unused_unit)]
            unsafe fn slices<'a>(fetch: Self::Fetch<'a>, rows: Range<usize>) -> Self::Slices<'a> {
                let _ = (&fetch, &rows);
                // SAFETY: the caller's duties hold for each term.
                ($(unsafe { $name::slices(fetch.$index, rows.clone()) },)*)
            }
            #[inline(always)]
            #[allow(clippy::unused_unit)]
            unsafe fn row<'a>(fetch: Self::Fetch<'a>, row: usize) -> Self::Row<'a> {
                let _ = (&fetch, row);
                // SAFETY: the caller's duties hold for each term.
                ($(unsafe { $name::row(fetch.$index, row) },)*)
            }
            #[inline(always)]
            fn prefetch(fetch: Self::Fetch<'_>, row: usize) {
                let _ = (&fetch, row);
                $($name::prefetch(fetch.$index, row);)*
            }
            fn settle(at: At<'_>, state: &Self::State, visited: Visited<'_>, writer: Consumer) {
                let _ = (at, state, &visited, writer);
                $($name::settle(at, &state.$index, visited.clone(), writer);)*
            }
        }

        // SAFETY: no term declares anything as written.
        unsafe impl<$($name: ReadOnly),*> ReadOnly for ($($name,)*) {}
    )*};
}

data_tuples! {
    ()
    (A 0)
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
    (A 0, B 1, C 2, D 3, E 4)
    (A 0, B 1, C 2, D 3, E 4, F 5)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7)
}

/// What restricts a query without being fetched.
pub trait QueryFilter {
    /// Declares the restriction.
    fn declare(components: &mut Components, terms: &mut Terms);
}

/// A filter of whole tables, so that chunks can be walked as slices.
pub trait ChunkFilter: QueryFilter {}

/// The entity has a `C`.
pub struct With<C>(PhantomData<C>);
/// The entity has no `C`.
pub struct Without<C>(PhantomData<C>);
/// The entity has at least one of the components of a tuple.
pub struct AnyOf<T>(PhantomData<T>);
/// The entity's `C` changed, or was added, since this query saw it.
pub struct Changed<C>(PhantomData<C>);
/// The entity got its `C` since this query saw it.
pub struct Added<C>(PhantomData<C>);

impl<C: Component> QueryFilter for With<C> {
    fn declare(components: &mut Components, terms: &mut Terms) {
        terms.spec.all.push(components.register::<C>());
    }
}
impl<C: Component> ChunkFilter for With<C> {}

impl<C: Component> QueryFilter for Without<C> {
    fn declare(components: &mut Components, terms: &mut Terms) {
        terms.spec.none.push(components.register::<C>());
    }
}
impl<C: Component> ChunkFilter for Without<C> {}

impl<C: Component> QueryFilter for Changed<C> {
    fn declare(components: &mut Components, terms: &mut Terms) {
        terms.spec.changed.push(components.register::<C>());
    }
}

impl<C: Component> QueryFilter for Added<C> {
    fn declare(components: &mut Components, terms: &mut Terms) {
        terms.spec.added.push(components.register::<C>());
    }
}

macro_rules! filter_tuples {
    ($(($($name:ident),*))*) => {$(
        impl<$($name: QueryFilter),*> QueryFilter for ($($name,)*) {
            fn declare(components: &mut Components, terms: &mut Terms) {
                let _ = (&components, &terms);
                $($name::declare(components, terms);)*
            }
        }
        impl<$($name: ChunkFilter),*> ChunkFilter for ($($name,)*) {}

        impl<$($name: Component),*> QueryFilter for AnyOf<($($name,)*)> {
            fn declare(components: &mut Components, terms: &mut Terms) {
                let group = vec![$(components.register::<$name>()),*];
                let _ = &components;
                terms.spec.any.push(group);
            }
        }
        impl<$($name: Component),*> ChunkFilter for AnyOf<($($name,)*)> {}
    )*};
}

filter_tuples! {
    ()
    (A)
    (A, B)
    (A, B, C)
    (A, B, C, D)
    (A, B, C, D, E)
    (A, B, C, D, E, F)
}

/// A typed query. It is made once and used again and again: it remembers which tables match and what it has seen.
///
/// ```
/// use peristyle_world::{Changed, Component, World};
///
/// #[derive(Component, Clone, Copy)]
/// struct Position { x: f32 }
/// #[derive(Component, Clone, Copy)]
/// struct Velocity { x: f32 }
///
/// let mut world = World::new()?;
/// world.spawn_batch((0..1000).map(|i| (Position { x: 0.0 }, Velocity { x: i as f32 })))?;
///
/// let mut changes = world.query_filtered::<&Position, Changed<Position>>();
/// let mut moving = world.query::<(&mut Position, &Velocity)>();
/// changes.for_each(&mut world, |_| {});
/// moving.for_each_chunk(&mut world, |(position, velocity)| {
///     for (x, v) in position.x.iter_mut().zip(velocity.x) {
///         *x += v * 0.5;
///     }
/// });
/// let mut seen = 0;
/// changes.for_each(&mut world, |_| seen += 1);
/// assert_eq!(seen, 1000);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Query<D: QueryData, F: QueryFilter = ()> {
    state: QueryState,
    data: D::State,
    reads: Vec<ComponentId>,
    writes: Vec<ComponentId>,
    marker: PhantomData<fn() -> F>,
}

impl World {
    /// A query for rows that have everything it fetches.
    ///
    /// # Panics
    /// If it fetches a component twice and writes it.
    pub fn query<D: QueryData>(&mut self) -> Query<D> {
        Query::new(self, None)
    }

    /// A query with filters.
    ///
    /// # Panics
    /// If it fetches a component twice and writes it.
    pub fn query_filtered<D: QueryData, F: QueryFilter>(&mut self) -> Query<D, F> {
        Query::new(self, None)
    }
}

impl<D: QueryData, F: QueryFilter> Query<D, F> {
    /// A query with a consumer of its own, or as part of `consumer`, which does not see its own writes.
    ///
    /// # Panics
    /// If it fetches a component twice and writes it.
    pub fn new(world: &mut World, consumer: Option<Consumer>) -> Query<D, F> {
        let mut terms = Terms::default();
        let data = D::declare(&mut world.components, &mut terms);
        F::declare(&mut world.components, &mut terms);
        // A row filter reads its component's marks.
        let filters = terms.spec.changed.iter().chain(&terms.spec.added).copied();
        let mut reads = terms.reads.clone();
        reads.extend(filters.filter(|component| !terms.reads.contains(component)));
        let state = QueryState::new(world, terms.spec, consumer);
        Query { state, data, reads, writes: terms.writes, marker: PhantomData }
    }

    /// The untyped part.
    pub fn state(&self) -> &QueryState {
        &self.state
    }

    /// The untyped part, to refresh it.
    pub fn state_mut(&mut self) -> &mut QueryState {
        &mut self.state
    }

    /// Components that it reads, those of its row filters included.
    pub fn reads(&self) -> &[ComponentId] {
        &self.reads
    }

    /// Components that it writes.
    pub fn writes(&self) -> &[ComponentId] {
        &self.writes
    }

    /// Calls `f` for each row; with a row filter for each pending one.
    #[inline(always)]
    pub fn for_each(&mut self, world: &mut World, f: impl FnMut(D::Row<'_>)) {
        // SAFETY: the world is borrowed mutably.
        unsafe { self.for_each_shared(world, f) }
    }

    /// As [`Query::for_each`], while others work on the world too.
    ///
    /// # Safety
    /// Nobody else writes what the query reads, or touches what it writes, and nobody changes the world's structure.
    #[inline(always)]
    pub unsafe fn for_each_shared(&mut self, world: &World, mut f: impl FnMut(D::Row<'_>)) {
        self.state.refresh(world);
        self.state.for_each_chunk(world, |chunk| {
            // SAFETY: the caller's duty, for all rows of the chunk.
            unsafe { self.rows_shared(world, chunk, 0..chunk.rows(), &mut f) };
        });
    }

    /// Calls `f` for the (pending) rows among `rows` of one chunk, and settles them.
    ///
    /// # Safety
    /// As [`Query::for_each_shared`], for these rows; `rows` starts on a multiple of 512.
    #[inline(always)]
    pub unsafe fn rows_shared(
        &self,
        world: &World,
        chunk: ChunkRef,
        rows: Range<usize>,
        f: &mut impl FnMut(D::Row<'_>),
    ) {
        let at = chunk.at(world);
        let fetch = D::fetch(world, at, &self.data);
        if !self.state.has_row_filter() {
            let _settled = self.settling(at, rows.clone());
            for row in rows {
                // SAFETY: the row is in use; the caller answers for access.
                f(unsafe { D::row(fetch, row) });
            }
            return;
        }
        self.for_each_pending(at, fetch, rows.clone(), &mut |row| {
            // SAFETY: as above.
            f(unsafe { D::row(fetch, row) });
        });
        self.state.clear(world, chunk, rows);
    }

    /// Calls `f` with the number of each pending row among `rows`, and marks what the query writes in these.
    ///
    /// Rows are collected before the first is visited, and the lines of scattered ones asked for at once: so the misses
    /// overlap, and mispredicted branches do not wait for them.
    #[inline(always)]
    fn for_each_pending(&self, at: At<'_>, fetch: D::Fetch<'_>, rows: Range<usize>, f: &mut impl FnMut(usize)) {
        let mut visiting = Visiting { query: self, at, rows: rows.start..rows.start };
        let mut spans = [Collected::new(), Collected::new()];
        let mut start = rows.start;
        for turn in 0.. {
            let span = start..rows.end.min(start + Collected::SPAN);
            let soon = &mut spans[turn % 2];
            soon.len = 0;
            self.state.for_each_pending_word(at, &span, |word, pending| soon.push(pending, word * WORD));
            // Neighbours are fetched ahead by the processor itself.
            if soon.len < span.len() / 4 {
                soon.rows().iter().for_each(|row| D::prefetch(fetch, usize::from(*row)));
            }
            for row in spans[(turn + 1) % 2].rows() {
                visiting.rows.end = usize::from(*row) + 1;
                f(usize::from(*row));
            }
            if span.is_empty() {
                break;
            }
            start = span.end;
        }
    }

    /// Marks what the query writes in `rows` as changed when the result goes, be it by unwinding: what was written until
    /// then is written.
    #[inline(always)]
    fn settling<'q>(&'q self, at: At<'q>, rows: Range<usize>) -> Settling<'q, D, F> {
        Settling { query: self, at, rows }
    }
}

/// See [`Query::settling`].
struct Settling<'q, D: QueryData, F: QueryFilter> {
    query: &'q Query<D, F>,
    at: At<'q>,
    rows: Range<usize>,
}

impl<D: QueryData, F: QueryFilter> Drop for Settling<'_, D, F> {
    #[inline(always)]
    fn drop(&mut self) {
        if !self.query.writes.is_empty() {
            D::settle(self.at, &self.query.data, Visited::All(self.rows.clone()), self.query.state.consumer);
        }
    }
}

/// Rows that are visited soon.
struct Collected {
    /// Those before `len` are written; a few beyond may be too.
    rows: [MaybeUninit<u16>; Collected::SPAN + WORD],
    len: usize,
}

impl Collected {
    /// Rows that are looked at together.
    const SPAN: usize = 2048;

    fn new() -> Collected {
        Collected { rows: [const { MaybeUninit::uninit() }; _], len: 0 }
    }

    #[inline(always)]
    fn rows(&self) -> &[u16] {
        let rows = &self.rows[..self.len];
        // SAFETY: `push` wrote every row before `len`.
        unsafe { std::slice::from_raw_parts(rows.as_ptr().cast(), rows.len()) }
    }

    /// Appends the set bits of a word that is not zero, offset by `first`.
    ///
    /// # Panics
    /// If there are more than [`Collected::SPAN`] rows already.
    #[inline(always)]
    fn push(&mut self, word: u64, first: usize) {
        let rows = &mut self.rows[self.len..][..WORD];
        let row = |word: u64| MaybeUninit::new((first + word.trailing_zeros() as usize) as u16);
        let rest = word & (word - 1);
        // The second is taken whether it is there or not: how many there are is what a processor cannot guess.
        rows[0] = row(word);
        rows[1] = row(rest | 1 << (WORD - 1));
        self.len += 1 + usize::from(rest != 0);
        let mut more = rest & rest.wrapping_sub(1);
        for out in &mut rows[2..] {
            if more == 0 {
                break;
            }
            *out = row(more);
            more &= more - 1;
            self.len += 1;
        }
    }
}

/// As [`Settling`], for pending rows.
struct Visiting<'q, D: QueryData, F: QueryFilter> {
    query: &'q Query<D, F>,
    at: At<'q>,
    /// The pending ones of these were visited.
    rows: Range<usize>,
}

impl<D: QueryData, F: QueryFilter> Drop for Visiting<'_, D, F> {
    #[inline(always)]
    fn drop(&mut self) {
        if !self.query.writes.is_empty() {
            let visited = Visited::Pending(self.rows.clone(), &self.query.state);
            D::settle(self.at, &self.query.data, visited, self.query.state.consumer);
        }
    }
}

impl<D: QueryData, F: ChunkFilter> Query<D, F> {
    /// Calls `f` for each chunk, with a slice for each column.
    pub fn for_each_chunk(&mut self, world: &mut World, f: impl FnMut(D::Slices<'_>)) {
        // SAFETY: the world is borrowed mutably.
        unsafe { self.for_each_chunk_shared(world, f) }
    }

    /// As [`Query::for_each_chunk`], while others work on the world too.
    ///
    /// # Safety
    /// As [`Query::for_each_shared`].
    pub unsafe fn for_each_chunk_shared(&mut self, world: &World, mut f: impl FnMut(D::Slices<'_>)) {
        self.state.refresh(world);
        self.state.for_each_chunk(world, |chunk| {
            // SAFETY: the caller's duty, for all rows of the chunk.
            unsafe { self.slices_shared(world, chunk, 0..chunk.rows(), &mut f) };
        });
    }

    /// Calls `f` with `rows` of one chunk, and settles them.
    ///
    /// # Safety
    /// As [`Query::for_each_shared`], for these rows; `rows` starts on a multiple of 512.
    #[inline]
    pub unsafe fn slices_shared(
        &self,
        world: &World,
        chunk: ChunkRef,
        rows: Range<usize>,
        f: &mut impl FnMut(D::Slices<'_>),
    ) {
        let at = chunk.at(world);
        let fetch = D::fetch(world, at, &self.data);
        let _settled = self.settling(at, rows.clone());
        // SAFETY: the rows are in use; the caller answers for access.
        f(unsafe { D::slices(fetch, rows) });
    }

    /// Number of rows.
    pub fn count(&mut self, world: &World) -> usize {
        self.state.refresh(world);
        self.state.chunks(world).map(ChunkRef::rows).sum()
    }
}

impl<D: ReadOnly, F: ChunkFilter> Query<D, F> {
    /// The rows, one after the other.
    pub fn iter<'w>(&'w mut self, world: &'w World) -> impl Iterator<Item = D::Row<'w>> + 'w {
        self.state.refresh(world);
        let this = &*self;
        this.state.chunks(world).flat_map(move |chunk| {
            let fetch = D::fetch(world, chunk.at(world), &this.data);
            // SAFETY: the rows are in use, nothing is written, and `&World` keeps writers away.
            (0..chunk.rows()).map(move |row| unsafe { D::row(fetch, row) })
        })
    }
}

/// A component of single entities, ready to be reached: the world knows where its columns start in every chunk. See
/// [`World::prepare`].
pub struct Prepared<C> {
    reach: u32,
    world: u64,
    marker: PhantomData<fn() -> C>,
}

impl World {
    /// Readies access to the `C` of single entities. Costs 16 bytes a chunk of the world.
    pub fn prepare<C: Component>(&mut self) -> Prepared<C> {
        let component = self.register::<C>();
        Prepared { reach: self.tables.reach(component), world: self.id, marker: PhantomData }
    }
}

impl<C: Component> Prepared<C> {
    #[inline(always)]
    fn locate(&self, world: &World, entity: Entity) -> Result<(Base, usize), WorldError> {
        assert_eq!(self.world, world.id, "{OTHER_WORLD}");
        let place = world.entities.find(entity);
        match place.and_then(|place| Some((world.tables.reached(self.reach, place.chunk)?, place.row as usize))) {
            Some(located) => Ok(located),
            None => Err(world.why_not(entity, C::NAME)),
        }
    }

    /// Calls `f` with where the `C` of each entity is, in order. Some entities ahead of that, their cache lines are asked
    /// for: so the misses overlap, which costs a fifth to a half of one by one.
    #[inline(always)]
    fn locate_each(&self, world: &World, entities: &[Entity], mut f: impl FnMut(usize, Option<(Base, usize)>)) {
        const AHEAD: usize = 32;
        assert_eq!(self.world, world.id, "{OTHER_WORLD}");
        let mut located = [None; AHEAD];
        entities.iter().take(AHEAD).for_each(|entity| world.entities.prefetch(*entity));
        for start in (0..entities.len()).step_by(AHEAD) {
            let soon = &entities[start..entities.len().min(start + AHEAD)];
            for (out, entity) in located.iter_mut().zip(soon) {
                *out = world.entities.find(*entity).and_then(|place| {
                    let base = world.tables.reached(self.reach, place.chunk)?;
                    C::Storage::prefetch(base, place.row as usize);
                    Some((base, place.row as usize))
                });
            }
            let later = &entities[start + soon.len()..];
            later.iter().take(AHEAD).for_each(|entity| world.entities.prefetch(*entity));
            for (number, at) in located[..soon.len()].iter().enumerate() {
                f(start + number, *at);
            }
        }
    }

    #[inline(always)]
    fn mark(&self, world: &World, entity: Entity) {
        if let Some(component) = world.tables.is_tracked(self.reach)
            && let Some(at) = world.find(entity, component)
        {
            at.mark(None);
        }
    }

    /// An entity's `C`.
    ///
    /// # Errors
    /// [`WorldError::Stale`], [`WorldError::Missing`].
    ///
    /// # Panics
    /// If it was readied by another world.
    #[inline]
    pub fn get<'w>(&self, world: &'w World, entity: Entity) -> Result<RowOf<'w, C>, WorldError> {
        let (base, row) = self.locate(world, entity)?;
        // SAFETY: the row is in use, and `&World` keeps writers away.
        Ok(unsafe { C::Storage::row(base, row) })
    }

    /// Calls `f` with the number of each entity in the list and its `C`, if it lives and has one. For many entities all
    /// over the world this is much faster than one by one.
    ///
    /// # Panics
    /// If it was readied by another world.
    #[inline]
    pub fn get_each<'w>(&self, world: &'w World, entities: &[Entity], mut f: impl FnMut(usize, Option<RowOf<'w, C>>)) {
        self.locate_each(world, entities, |number, at| {
            // SAFETY: the row is in use, and `&World` keeps writers away.
            f(number, at.map(|(base, row)| unsafe { C::Storage::row(base, row) }));
        });
    }

    /// As [`Prepared::get_each`], to write. Those found count as changed.
    ///
    /// # Panics
    /// If it was readied by another world.
    #[inline]
    pub fn get_each_mut(
        &self,
        world: &mut World,
        entities: &[Entity],
        mut f: impl FnMut(usize, Option<RowMutOf<'_, C>>),
    ) {
        let world = &*world;
        self.locate_each(world, entities, |number, at| {
            self.mark(world, entities[number]);
            // SAFETY: the row is in use, and the caller's `&mut World` keeps everybody else away; `f` cannot keep it, so
            // an entity that is named twice is written one time after the other.
            f(number, at.map(|(base, row)| unsafe { C::Storage::row_mut(base, row) }));
        });
    }

    /// An entity's `C`, to write. Counts as changed.
    ///
    /// # Errors
    /// [`WorldError::Stale`], [`WorldError::Missing`].
    ///
    /// # Panics
    /// If it was readied by another world.
    #[inline]
    pub fn get_mut<'w>(&self, world: &'w mut World, entity: Entity) -> Result<RowMutOf<'w, C>, WorldError> {
        let (base, row) = self.locate(world, entity)?;
        self.mark(world, entity);
        // SAFETY: the row is in use, and `&mut World` keeps everybody else away.
        Ok(unsafe { C::Storage::row_mut(base, row) })
    }

    /// Replaces an entity's `C`. Counts as changed.
    ///
    /// # Errors
    /// [`WorldError::Stale`], [`WorldError::Missing`].
    ///
    /// # Panics
    /// If it was readied by another world.
    #[inline]
    pub fn set(&self, world: &mut World, entity: Entity, value: C) -> Result<(), WorldError> {
        let (base, row) = self.locate(world, entity)?;
        self.mark(world, entity);
        // SAFETY: the row is in use, and `&mut World` keeps everybody else away.
        unsafe { C::Storage::replace(value, base, row) };
        Ok(())
    }
}
