//! Tables: the rows of all entities with the same set of components.
//!
//! A table's rows lie in chunks. Every chunk but the first is full-sized when it is made; the first doubles from 64 rows
//! and is full-sized before there is a second, so growth replaces no full chunk. Rows are dense: a removed row is filled
//! by the table's last.
//!
//! # Rules
//! - Live bits and despawn bits are zero outside of leases.
//! - One emptied chunk is kept, so that a table whose length swings around a chunk border does not allocate each time.
//! - Structure changes only through `&mut`; columns are reached through raw pointers, and who makes a reference names the
//!   lease or the `&mut World` that makes it exclusive.

mod bulk;

use std::{
    collections::HashMap,
    ops::Range,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use peristyle_layout::{
    Scalar,
    chunk::{CHUNK_ROWS, FIRST_ROWS, Geometry, STAGGER, bitset_bytes, column_offset},
};
use peristyle_memory::{Block, Memory, OutOfMemory, bits};

use crate::{
    columnar::Base,
    component::{ComponentId, ComponentInfo, Kind, OpaqueType},
    hash::NumberMap,
    opaque::OpaqueColumn,
    track::{Consumer, Event, Subscription, Track},
};

pub(crate) use bulk::Scratch;

/// A table's number in one world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableId(pub(crate) u32);

impl TableId {
    /// The number; tables are numbered from 0 in the order in which they came to be, and stay.
    pub fn index(self) -> u32 {
        self.0
    }
}

/// One scalar column of a table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FieldColumn {
    pub(crate) row_bytes_before: usize,
    pub(crate) columns_before: usize,
    pub(crate) scalar: Scalar,
}

impl FieldColumn {
    /// The entity index.
    const INDEX: FieldColumn = FieldColumn { row_bytes_before: 0, columns_before: 0, scalar: Scalar::U32 };
}

/// Where a component is in a table's chunks.
#[derive(Debug, Clone, Copy)]
enum Location {
    /// Columns in the block: where they start, and which of the table's fields they are.
    Columnar { row_bytes_before: u32, columns_before: u32, first_field: u32, fields: u32 },
    /// Which of the chunk's heap columns.
    Opaque(u32),
}

/// One chunk of a table.
#[derive(Debug)]
pub(crate) struct Chunk {
    block: Block,
    pub(crate) capacity: usize,
    pub(crate) table: TableId,
    /// Which of the table's chunks it is.
    pub(crate) position: usize,
    opaque: Box<[OpaqueColumn]>,
    /// See [`Table::offsets`].
    offsets: Arc<[u32]>,
}

// SAFETY: opaque values are `Send + Sync` (a bound of `Component`); bytes of the block and values are reached only under
// the rules above.
unsafe impl Send for Chunk {}
// SAFETY: as above.
unsafe impl Sync for Chunk {}

impl Chunk {
    #[inline]
    pub(crate) fn ptr(&self) -> *mut u8 {
        self.block.ptr().as_ptr()
    }

    /// Drops the opaque values of a row.
    ///
    /// # Safety
    /// The row holds values that nobody uses, now or later.
    #[inline]
    pub(crate) unsafe fn drop_values(&self, row: usize) {
        for column in &self.opaque {
            // SAFETY: the caller's duty.
            unsafe { column.drop_value(row) };
        }
    }

    /// The entity index of each row.
    #[inline]
    pub(crate) fn eids(&self) -> *mut u32 {
        self.ptr().cast()
    }
}

/// One table.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) id: TableId,
    components: Box<[ComponentId]>,
    locations: Box<[Location]>,
    fields: Box<[FieldColumn]>,
    /// The columns of one, two, four and eight bytes, the entity index among them: a row is moved size by size.
    by_size: [Box<[FieldColumn]>; 4],
    /// See [`Table::offsets`].
    full_offsets: OnceLock<Arc<[u32]>>,
    opaque: Box<[OpaqueType]>,
    /// Component number to column, `u16::MAX` for none.
    columns: Box<[u16]>,
    geometry: Geometry,
    /// Numbers in the world's list of chunks; the last may be the spare.
    chunks: Vec<u32>,
    rows: usize,
    /// Per chunk and column, the number of the last run that wrote it. Kept when a chunk goes, for the next one there.
    versions: Vec<AtomicU64>,
    /// Per column.
    tracks: Box<[Vec<Track>]>,
    /// Whether there are any.
    is_tracked: bool,
    /// By the number of the bundle that is inserted.
    with: NumberMap<TableId>,
    /// The number of the bundle that was inserted last, and where that led: most insertions come in runs.
    with_last: Option<(u32, TableId)>,
    /// Per column that is removed.
    without: Box<[Option<TableId>]>,
}

impl Table {
    fn new(id: TableId, components: &[ComponentId], info: impl Fn(ComponentId) -> ComponentInfo) -> Table {
        let (mut row_bytes, mut columns_before) = (size_of::<u32>(), 1);
        let (mut fields, mut opaque, mut locations) = (Vec::new(), Vec::new(), Vec::new());
        for component in components {
            match info(*component).kind() {
                Kind::Columnar(described) => {
                    let start = (row_bytes, columns_before, fields.len());
                    for field in described.iter() {
                        fields.push(FieldColumn { row_bytes_before: row_bytes, columns_before, scalar: field.scalar });
                        row_bytes += field.scalar.size();
                        columns_before += 1;
                    }
                    locations.push(Location::Columnar {
                        row_bytes_before: start.0 as u32,
                        columns_before: start.1 as u32,
                        first_field: start.2 as u32,
                        fields: (fields.len() - start.2) as u32,
                    });
                }
                Kind::Opaque(value) => {
                    locations.push(Location::Opaque(opaque.len() as u32));
                    opaque.push(*value);
                }
            }
        }
        let mut columns = vec![u16::MAX; components.last().map_or(0, |last| last.0 as usize + 1)];
        for (column, component) in components.iter().enumerate() {
            columns[component.0 as usize] =
                u16::try_from(column).ok().filter(|c| *c != u16::MAX).expect("fewer than 65 535 components an entity");
        }
        Table {
            id,
            components: components.into(),
            geometry: Geometry { row_bytes, columns: columns_before, bitsets: components.len() + 1 },
            tracks: components.iter().map(|_| Vec::new()).collect(),
            is_tracked: false,
            locations: locations.into(),
            by_size: [1, 2, 4, 8].map(|size| {
                fields
                    .iter()
                    .chain([&FieldColumn::INDEX])
                    .filter(|field| field.scalar.size() == size)
                    .copied()
                    .collect()
            }),
            full_offsets: OnceLock::new(),
            fields: fields.into(),
            opaque: opaque.into(),
            columns: columns.into(),
            chunks: Vec::new(),
            rows: 0,
            versions: Vec::new(),
            with: NumberMap::default(),
            with_last: None,
            without: components.iter().map(|_| None).collect(),
        }
    }

    /// Its components, ascending.
    pub(crate) fn components(&self) -> &[ComponentId] {
        &self.components
    }

    /// Which column a component is, if the table has it.
    #[inline]
    pub(crate) fn column(&self, component: ComponentId) -> Option<usize> {
        match self.columns.get(component.0 as usize) {
            Some(&column) if column != u16::MAX => Some(column as usize),
            _ => None,
        }
    }

    /// Whether all its components lie in columns.
    pub(crate) fn is_columnar(&self) -> bool {
        self.opaque.is_empty()
    }

    /// Whether removing a row, or one of its components, drops values of Rust types.
    pub(crate) fn drops(&self, column: Option<usize>) -> bool {
        let drops = |index: u32| self.opaque[index as usize].drop.is_some();
        match column.map(|column| self.locations[column]) {
            Some(Location::Columnar { .. }) => false,
            Some(Location::Opaque(index)) => drops(index),
            None => (0..self.opaque.len() as u32).any(drops),
        }
    }

    /// Rows in use.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Chunks with rows in use.
    pub(crate) fn chunk_count(&self) -> usize {
        self.rows.div_ceil(CHUNK_ROWS)
    }

    /// Rows in use in one chunk.
    #[inline]
    pub(crate) fn chunk_rows(&self, position: usize) -> usize {
        self.rows.saturating_sub(position * CHUNK_ROWS).min(CHUNK_ROWS)
    }

    /// The number in the world's list of the chunk at a position.
    #[inline]
    pub(crate) fn chunk_id(&self, position: usize) -> u32 {
        self.chunks[position]
    }

    /// Where a column's values start in a chunk.
    #[inline(always)]
    pub(crate) fn base(&self, chunk: &Chunk, column: usize) -> Base {
        let capacity = chunk.capacity;
        let ptr = match self.locations[column] {
            Location::Columnar { row_bytes_before, columns_before, .. } => {
                chunk.ptr().wrapping_add(column_offset(capacity, row_bytes_before as usize, columns_before as usize))
            }
            Location::Opaque(index) => chunk.opaque[index as usize].ptr(),
        };
        Base { ptr, capacity }
    }

    /// The scalar columns of a component; none if it is opaque.
    pub(crate) fn fields(&self, column: usize) -> &[FieldColumn] {
        match self.locations[column] {
            Location::Columnar { first_field, fields, .. } => &self.fields[first_field as usize..][..fields as usize],
            Location::Opaque(_) => &[],
        }
    }

    /// One element of a column.
    #[inline(always)]
    pub(crate) fn element(&self, chunk: &Chunk, field: &FieldColumn, row: usize) -> *mut u8 {
        let offset = column_offset(chunk.capacity, field.row_bytes_before, field.columns_before);
        chunk.ptr().wrapping_add(offset + row * field.scalar.size())
    }

    /// Where the columns of [`Table::by_size`] start in a chunk. Full-sized chunks share one list, so that a table whose
    /// length swings allocates nothing.
    fn offsets(&self, capacity: usize) -> Arc<[u32]> {
        let make = || {
            let fields = self.by_size.iter().flatten();
            fields.map(|field| column_offset(capacity, field.row_bytes_before, field.columns_before) as u32).collect()
        };
        if capacity == CHUNK_ROWS { self.full_offsets.get_or_init(make).clone() } else { make() }
    }

    /// Copies a row's columns and entity index.
    ///
    /// # Safety
    /// Both rows are below their chunks' capacities and differ, the chunks are this table's, and nobody else touches them.
    #[inline]
    unsafe fn copy_row(&self, from: (&Chunk, usize), to: (&Chunk, usize)) {
        debug_assert_eq!(from.0.capacity, to.0.capacity, "a chunk beside another is full-sized");
        /// # Safety
        /// As `copy_row`, for columns of `T`'s size.
        #[inline(always)]
        unsafe fn copy<T>(offsets: &[u32], from: (&Chunk, usize), to: (&Chunk, usize)) {
            let at = |(chunk, row): (&Chunk, usize), offset: u32| {
                chunk.ptr().wrapping_add(offset as usize).cast::<T>().wrapping_add(row)
            };
            for offset in offsets {
                // SAFETY: elements of aligned columns of that size, at rows that differ.
                unsafe { at(to, *offset).write(at(from, *offset).read()) };
            }
        }
        let [one, two, four, _] = &self.by_size;
        let (one, rest) = to.0.offsets.split_at(one.len());
        let (two, rest) = rest.split_at(two.len());
        let (four, eight) = rest.split_at(four.len());
        // SAFETY: the caller's duties, for the columns of each size.
        unsafe {
            copy::<u8>(one, from, to);
            copy::<u16>(two, from, to);
            copy::<u32>(four, from, to);
            copy::<u64>(eight, from, to);
        }
    }

    /// Zeroes `rows` of a component's columns.
    ///
    /// # Safety
    /// The rows are below the chunk's capacity, and nobody else touches them.
    pub(crate) unsafe fn zero(&self, chunk: &Chunk, column: usize, rows: Range<usize>) {
        for field in self.fields(column) {
            // SAFETY: the caller's duty.
            unsafe { self.element(chunk, field, rows.start).write_bytes(0, rows.len() * field.scalar.size()) };
        }
    }

    /// Zeroes a component's columns in one row, by stores: filling memory is a call out of WebAssembly.
    ///
    /// # Safety
    /// As [`Table::zero`].
    #[inline]
    pub(crate) unsafe fn zero_value(&self, chunk: &Chunk, column: usize, row: usize) {
        for field in self.fields(column) {
            let at = self.element(chunk, field, row);
            // SAFETY: an element of an aligned column of that size.
            unsafe {
                match field.scalar.size() {
                    1 => at.write(0),
                    2 => at.cast::<u16>().write(0),
                    4 => at.cast::<u32>().write(0),
                    _ => at.cast::<u64>().write(0),
                }
            }
        }
    }

    /// Zeroes all columns of a row, the entity index too.
    ///
    /// # Safety
    /// The row is below the chunk's capacity, the chunk is this table's, and nobody else touches the row.
    #[inline]
    pub(crate) unsafe fn zero_row(&self, chunk: &Chunk, row: usize) {
        /// # Safety
        /// As `zero_row`, for columns of `T`'s size.
        #[inline(always)]
        unsafe fn zero<T: Default>(offsets: &[u32], chunk: &Chunk, row: usize) {
            for offset in offsets {
                // SAFETY: an element of an aligned column of that size.
                unsafe { chunk.ptr().wrapping_add(*offset as usize).cast::<T>().add(row).write(T::default()) };
            }
        }
        let [one, two, four, _] = &self.by_size;
        let (one, rest) = chunk.offsets.split_at(one.len());
        let (two, rest) = rest.split_at(two.len());
        let (four, eight) = rest.split_at(four.len());
        // SAFETY: the caller's duties, for the columns of each size.
        unsafe {
            zero::<u8>(one, chunk, row);
            zero::<u16>(two, chunk, row);
            zero::<u32>(four, chunk, row);
            zero::<u64>(eight, chunk, row);
        }
    }

    /// The live bits of a component in a chunk, or with `None` the despawn bits.
    #[inline]
    pub(crate) fn bitset(&self, chunk: &Chunk, column: Option<usize>) -> *mut u64 {
        let bitset = column.unwrap_or(self.components.len());
        chunk.ptr().wrapping_add(self.geometry.bitset_offset(chunk.capacity, bitset)).cast()
    }

    /// The bits of one subscription.
    pub(crate) fn track(&self, column: usize, subscription: u32) -> Option<&Track> {
        self.tracks[column].iter().find(|track| track.subscription.id == subscription)
    }

    /// Marks `rows` of a column as changed for every consumer but `writer`.
    #[inline]
    pub(crate) fn mark(&self, column: usize, position: usize, rows: Range<usize>, writer: Option<Consumer>) {
        for track in &self.tracks[column] {
            if track.subscription.event == Event::Changed && Some(track.subscription.consumer) != writer {
                track.fill(position, rows.clone());
            }
        }
    }

    /// Marks one row of a column as changed for every consumer but `writer`.
    #[inline]
    pub(crate) fn mark_row(&self, column: usize, position: usize, row: usize, writer: Option<Consumer>) {
        for track in &self.tracks[column] {
            if track.subscription.event == Event::Changed && Some(track.subscription.consumer) != writer {
                track.set(position, row);
            }
        }
    }

    /// Marks the rows of `bits`, one word of them, as changed for every consumer but `writer`.
    #[inline]
    pub(crate) fn mark_word(&self, column: usize, position: usize, word: usize, bits: u64, writer: Option<Consumer>) {
        for track in &self.tracks[column] {
            if track.subscription.event == Event::Changed && Some(track.subscription.consumer) != writer {
                track.or(position, word, bits);
            }
        }
    }

    /// Marks `rows` of every column as added, which implies changed.
    fn mark_added(&self, position: usize, rows: Range<usize>) {
        for tracks in &self.tracks {
            for track in tracks {
                track.fill(position, rows.clone());
            }
        }
    }

    /// Publishes the live bits of `rows` to every consumer but `writer`, and zeroes them.
    ///
    /// # Safety
    /// `chunk` is this table's at `position`, and nobody else touches the column's live bits of these rows.
    pub(crate) unsafe fn settle(&self, chunk: &Chunk, column: usize, rows: Range<usize>, writer: Option<Consumer>) {
        let live = self.bitset(chunk, Some(column));
        for word in bits::words_of(&rows) {
            // SAFETY: the word lies in the chunk's bitset, by the caller's word nobody else touches it.
            let marked = unsafe { std::mem::take(&mut *live.add(word)) } & bits::word_mask(word, &rows);
            if marked != 0 {
                self.mark_word(column, chunk.position, word, marked, writer);
            }
        }
    }

    pub(crate) fn version(&self, chunk: &Chunk, column: usize) -> u64 {
        self.versions[chunk.position * self.components.len() + column].load(Relaxed)
    }

    pub(crate) fn set_version(&self, chunk: &Chunk, column: usize, version: u64) {
        self.versions[chunk.position * self.components.len() + column].store(version, Relaxed);
    }
}

/// Where one component is in every chunk, so that single entities are reached without a look at their table.
#[derive(Debug)]
struct Reach {
    component: ComponentId,
    /// By the chunk's number; null where the component is not.
    bases: Vec<Base>,
    /// Whether anybody waits for changes.
    is_tracked: bool,
}

// SAFETY: the addresses are those of the chunks beside it, which are `Send + Sync`.
unsafe impl Send for Reach {}
// SAFETY: as above.
unsafe impl Sync for Reach {}

/// All tables of a world and their chunks.
#[derive(Debug)]
pub(crate) struct Tables {
    memory: Memory,
    tables: Vec<Table>,
    by_components: HashMap<Box<[ComponentId]>, TableId>,
    chunks: Vec<Option<Chunk>>,
    free_chunks: Vec<u32>,
    subscriptions: Vec<Subscription>,
    reaches: Vec<Reach>,
    /// See [`World::layout_version`](crate::World::layout_version).
    pub(crate) layout_version: u32,
}

impl Tables {
    pub(crate) fn new(memory: Memory) -> Tables {
        Tables {
            memory,
            tables: Vec::new(),
            by_components: HashMap::new(),
            chunks: Vec::new(),
            free_chunks: Vec::new(),
            subscriptions: Vec::new(),
            reaches: Vec::new(),
            layout_version: 0,
        }
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    pub(crate) fn len(&self) -> usize {
        self.tables.len()
    }

    #[inline]
    pub(crate) fn table(&self, id: TableId) -> &Table {
        &self.tables[id.0 as usize]
    }

    #[inline(always)]
    pub(crate) fn chunk(&self, id: u32) -> &Chunk {
        self.chunks[id as usize].as_ref().expect("a table or a slot names only live chunks")
    }

    /// The chunk of that number, if it is in use.
    #[inline(always)]
    pub(crate) fn get_chunk(&self, id: u32) -> Option<&Chunk> {
        self.chunks.get(id as usize)?.as_ref()
    }

    /// The chunk at a position of a table.
    #[inline]
    pub(crate) fn chunk_at(&self, table: &Table, position: usize) -> &Chunk {
        self.chunk(table.chunks[position])
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &Table> {
        self.tables.iter()
    }

    /// The table of exactly these components (ascending), made if it is new.
    pub(crate) fn find(&mut self, components: &[ComponentId], info: impl Fn(ComponentId) -> ComponentInfo) -> TableId {
        debug_assert!(components.is_sorted_by(|a, b| a < b));
        if let Some(id) = self.by_components.get(components) {
            return *id;
        }
        let id = TableId(self.tables.len() as u32);
        let mut table = Table::new(id, components, info);
        for subscription in &self.subscriptions {
            if let Some(column) = table.column(subscription.component) {
                table.tracks[column].push(Track::new(subscription.clone(), std::iter::empty()));
                table.is_tracked = true;
            }
        }
        self.tables.push(table);
        self.by_components.insert(components.into(), id);
        id
    }

    /// The table that has a bundle's components too; remembered under the bundle's number.
    #[inline]
    pub(crate) fn with(
        &mut self,
        id: TableId,
        bundle: u32,
        added: &[ComponentId],
        info: impl Fn(ComponentId) -> ComponentInfo,
    ) -> TableId {
        let table = &mut self.tables[id.0 as usize];
        if let Some((last, next)) = table.with_last
            && last == bundle
        {
            return next;
        }
        if let Some(next) = table.with.get(&bundle) {
            table.with_last = Some((bundle, *next));
            return *next;
        }
        let mut components = table.components.to_vec();
        components.extend(added.iter().filter(|component| table.column(**component).is_none()));
        components.sort_unstable();
        let next = self.find(&components, info);
        self.tables[id.0 as usize].with.insert(bundle, next);
        next
    }

    /// The table without one of a table's columns.
    #[inline]
    pub(crate) fn without(
        &mut self,
        id: TableId,
        column: usize,
        info: impl Fn(ComponentId) -> ComponentInfo,
    ) -> TableId {
        if let Some(next) = self.table(id).without[column] {
            return next;
        }
        let mut components = self.table(id).components.to_vec();
        components.remove(column);
        let next = self.find(&components, info);
        self.tables[id.0 as usize].without[column] = Some(next);
        next
    }

    /// The number under which a component of single entities is reached.
    pub(crate) fn reach(&mut self, component: ComponentId) -> u32 {
        let known = self.reaches.iter().position(|reach| reach.component == component);
        let number = known.unwrap_or_else(|| {
            self.reaches.push(Reach { component, bases: Vec::new(), is_tracked: false });
            (0..self.chunks.len()).for_each(|chunk| self.chunk_moved(chunk));
            self.update_tracked();
            self.reaches.len() - 1
        });
        number as u32
    }

    /// Where a component starts in a chunk, if the chunk has it.
    #[inline(always)]
    pub(crate) fn reached(&self, reach: u32, chunk: u32) -> Option<Base> {
        let base = *self.reaches[reach as usize].bases.get(chunk as usize)?;
        (!base.ptr.is_null()).then_some(base)
    }

    /// The component of a reach if anybody waits for its changes.
    #[inline(always)]
    pub(crate) fn is_tracked(&self, reach: u32) -> Option<ComponentId> {
        let reach = &self.reaches[reach as usize];
        reach.is_tracked.then_some(reach.component)
    }

    /// Brings the reaches up to date after a chunk came, went or was replaced.
    fn chunk_moved(&mut self, chunk: usize) {
        let Tables { tables, chunks, reaches, .. } = self;
        for reach in reaches {
            reach.bases.resize(chunks.len(), Base { ptr: std::ptr::null_mut(), capacity: 0 });
            reach.bases[chunk].ptr = std::ptr::null_mut();
            if let Some(at) = &chunks[chunk] {
                let table = &tables[at.table.0 as usize];
                if let Some(column) = table.column(reach.component) {
                    reach.bases[chunk] = table.base(at, column);
                }
            }
        }
    }

    fn update_tracked(&mut self) {
        for reach in &mut self.reaches {
            reach.is_tracked = self
                .subscriptions
                .iter()
                .any(|subscription| subscription.event == Event::Changed && subscription.component == reach.component);
        }
    }

    /// Starts a subscription, with every row pending.
    pub(crate) fn subscribe(&mut self, subscription: Subscription) {
        self.prune();
        for table in &mut self.tables {
            if let Some(column) = table.column(subscription.component) {
                let rows: Vec<usize> = (0..table.chunks.len()).map(|position| table.chunk_rows(position)).collect();
                table.tracks[column].push(Track::new(subscription.clone(), rows.into_iter()));
                table.is_tracked = true;
            }
        }
        self.subscriptions.push(subscription);
        self.update_tracked();
    }

    /// Ends the subscriptions that nobody holds any more.
    pub(crate) fn prune(&mut self) {
        if self.subscriptions.iter().all(|subscription| subscription.holder.strong_count() > 0) {
            return;
        }
        self.subscriptions.retain(|subscription| subscription.holder.strong_count() > 0);
        self.update_tracked();
        for table in &mut self.tables {
            for tracks in &mut table.tracks {
                tracks.retain(|track| track.subscription.holder.strong_count() > 0);
            }
            table.is_tracked = table.tracks.iter().any(|tracks| !tracks.is_empty());
        }
    }

    /// Makes sure that a table has room for `rows` more rows.
    ///
    /// # Errors
    /// [`OutOfMemory`]; chunks that were made until then are given back.
    pub(crate) fn reserve(&mut self, id: TableId, rows: usize) -> Result<(), OutOfMemory> {
        let table = &self.tables[id.0 as usize];
        let needed = table.rows.saturating_add(rows);
        let before = table.chunks.len();
        let full_chunks = needed.div_ceil(CHUNK_ROWS);
        if let Some(&first) = table.chunks.first() {
            let capacity = self.chunk(first).capacity;
            if capacity < CHUNK_ROWS && needed > capacity {
                self.grow_first(id, needed.next_power_of_two().clamp(FIRST_ROWS, CHUNK_ROWS))?;
            }
        } else if rows > 0 {
            self.push_chunk(id, needed.next_power_of_two().clamp(FIRST_ROWS, CHUNK_ROWS))?;
        }
        while self.tables[id.0 as usize].chunks.len() < full_chunks {
            if let Err(error) = self.push_chunk(id, CHUNK_ROWS) {
                self.release_from(id, before.max(1));
                return Err(error);
            }
        }
        Ok(())
    }

    fn new_chunk(&self, table: &Table, position: usize, capacity: usize) -> Result<Chunk, OutOfMemory> {
        let block = self.memory.allocate(table.geometry.block_bytes(capacity))?;
        let chunk = Chunk {
            block,
            capacity,
            table: table.id,
            position,
            offsets: table.offsets(capacity),
            opaque: table.opaque.iter().map(|value| OpaqueColumn::new(*value, capacity)).collect(),
        };
        let bitset_words = table.geometry.bitsets * bitset_bytes(capacity) / size_of::<u64>();
        // SAFETY: the bitsets lie one after the other in the fresh block.
        unsafe { std::slice::from_raw_parts_mut(table.bitset(&chunk, Some(0)), bitset_words) }.fill(0);
        Ok(chunk)
    }

    fn push_chunk(&mut self, id: TableId, capacity: usize) -> Result<(), OutOfMemory> {
        let table = &self.tables[id.0 as usize];
        let chunk = self.new_chunk(table, table.chunks.len(), capacity)?;
        let number = self.free_chunks.pop().unwrap_or_else(|| {
            self.chunks.push(None);
            let number = self.chunks.len() as u32 - 1;
            assert!(number < crate::entities::NO_CHUNK, "fewer than 2^30 chunks");
            number
        });
        self.chunks[number as usize] = Some(chunk);
        self.chunk_moved(number as usize);
        let table = &mut self.tables[id.0 as usize];
        table.chunks.push(number);
        let chunks = table.chunks.len();
        let versions = table.versions.len().max(chunks * table.components.len());
        table.versions.resize_with(versions, AtomicU64::default);
        table.tracks.iter_mut().flatten().for_each(|track| track.ensure_chunks(chunks));
        Ok(())
    }

    /// Replaces a table's only chunk, which is not full-sized yet, by a larger one.
    fn grow_first(&mut self, id: TableId, capacity: usize) -> Result<(), OutOfMemory> {
        let table = &self.tables[id.0 as usize];
        let (number, rows) = (table.chunks[0], table.rows);
        let new = self.new_chunk(table, 0, capacity)?;
        let old = self.chunk(number);
        for field in &table.fields {
            let (from, to) = (table.element(old, field, 0), table.element(&new, field, 0));
            // SAFETY: both columns hold at least `rows` elements, in different blocks.
            unsafe { from.copy_to_nonoverlapping(to, rows * field.scalar.size()) };
        }
        // SAFETY: as above, for the entity indices.
        unsafe { old.eids().copy_to_nonoverlapping(new.eids(), rows) };
        for (from, to) in old.opaque.iter().zip(&new.opaque) {
            // SAFETY: the old column's first `rows` values move; the old chunk is dropped without them.
            unsafe { from.move_values(0, to, 0, rows) };
        }
        self.chunks[number as usize] = Some(new);
        self.layout_version = self.layout_version.wrapping_add(1);
        self.chunk_moved(number as usize);
        Ok(())
    }

    /// Appends one row, for which there must be room, and gives its chunk's number and row. Values and the entity index
    /// are the caller's to write, at once.
    #[inline]
    pub(crate) fn push_row(&mut self, id: TableId) -> (u32, usize) {
        let table = &mut self.tables[id.0 as usize];
        let (position, row) = (table.rows / CHUNK_ROWS, table.rows % CHUNK_ROWS);
        table.rows += 1;
        (table.chunks[position], row)
    }

    /// Appends rows that are written already, for which there was room.
    pub(crate) fn push_rows(&mut self, id: TableId, rows: usize) {
        self.tables[id.0 as usize].rows += rows;
    }

    /// Components of a table that another one lacks.
    pub(crate) fn missing(&self, of: TableId, in_table: TableId) -> Vec<ComponentId> {
        let lacks = |component: &ComponentId| self.table(in_table).column(*component).is_none();
        self.table(of).components().iter().copied().filter(lacks).collect()
    }

    /// Whether a row can be appended without making room.
    #[inline]
    pub(crate) fn has_room(&self, id: TableId) -> bool {
        let table = &self.tables[id.0 as usize];
        match table.chunks.len() {
            0 => false,
            1 => table.rows < self.chunk(table.chunks[0]).capacity,
            chunks => table.rows < chunks * CHUNK_ROWS,
        }
    }

    /// Marks rows (of the whole table, counted from its first) as added.
    pub(crate) fn mark_added(&self, id: TableId, rows: Range<usize>) {
        let table = self.table(id);
        if !table.is_tracked {
            return;
        }
        let mut start = rows.start;
        while start < rows.end {
            let (position, row) = (start / CHUNK_ROWS, start % CHUNK_ROWS);
            let end = rows.end.min((position + 1) * CHUNK_ROWS);
            table.mark_added(position, row..row + (end - start));
            start = end;
        }
    }

    /// Drops one component's opaque value of a row.
    ///
    /// # Safety
    /// The row holds a value, and is removed or overwritten before anybody looks at it again.
    pub(crate) unsafe fn drop_value(&self, chunk: &Chunk, column: usize, row: usize) {
        if let Location::Opaque(index) = self.table(chunk.table).locations[column] {
            // SAFETY: the caller's duty.
            unsafe { chunk.opaque[index as usize].drop_value(row) };
        }
    }

    /// Fills a row with the table's last, and shortens the table. Gives the entity index that moved, if one did. The row's
    /// opaque values are dropped, or are gone already.
    #[inline]
    pub(crate) fn remove_row(&mut self, chunk_id: u32, row: usize, drop_values: bool) -> Option<u32> {
        let Tables { tables, chunks, .. } = self;
        let live = |number: u32| chunks[number as usize].as_ref().expect("a table or a slot names only live chunks");
        let chunk = live(chunk_id);
        if drop_values {
            // SAFETY: the row is in use and filled, or no more in use, below.
            unsafe { chunk.drop_values(row) };
        }
        let (id, position) = (chunk.table, chunk.position);
        let table = &mut tables[id.0 as usize];
        table.rows -= 1;
        let (last_position, last_row) = (table.rows / CHUNK_ROWS, table.rows % CHUNK_ROWS);
        let is_last = (position, row) == (last_position, last_row);
        let moved = (!is_last).then(|| {
            let last = live(table.chunks[last_position]);
            for (from, to) in last.opaque.iter().zip(&chunk.opaque) {
                // SAFETY: the last row's value moves into the hole, whose value is gone.
                unsafe { from.move_values(last_row, to, row, 1) };
            }
            // SAFETY: both rows are in use and differ, and `self` is borrowed mutably.
            unsafe {
                table.copy_row((last, last_row), (chunk, row));
                chunk.eids().add(row).read()
            }
        });
        if table.is_tracked {
            for track in table.tracks.iter().flatten() {
                if !is_last && track.get(last_position, last_row) {
                    track.set(position, row);
                } else {
                    track.clear_row(position, row);
                }
                track.clear_row(last_position, last_row);
            }
        }
        // All chunks without rows but one are freed.
        if table.chunks.len() > table.chunk_count() + 1 {
            self.release_last(id);
        }
        moved
    }

    #[cold]
    fn release_last(&mut self, id: TableId) {
        let spare = self.tables[id.0 as usize].chunk_count() + 1;
        self.release_from(id, spare);
    }

    /// Gives back the chunks of a table from this position on, which hold no rows.
    fn release_from(&mut self, id: TableId, position: usize) {
        let table = &mut self.tables[id.0 as usize];
        for number in table.chunks.split_off(position.min(table.chunks.len())) {
            self.chunks[number as usize] = None;
            self.layout_version = self.layout_version.wrapping_add(1);
            self.free_chunks.push(number);
            self.chunk_moved(number as usize);
        }
    }

    /// Moves a row's shared components into a new row of another table, and its pending bits with them. The new row's
    /// other components count as added and are the caller's to write; the old row's other values the caller dropped, and
    /// the old row is the caller's to remove.
    pub(crate) fn move_row(&mut self, from: (u32, usize), to: (u32, usize)) {
        let (from_chunk, to_chunk) = (self.chunk(from.0), self.chunk(to.0));
        let (from_table, to_table) = (self.table(from_chunk.table), self.table(to_chunk.table));
        for (to_column, component) in to_table.components.iter().enumerate() {
            let Some(from_column) = from_table.column(*component) else {
                for track in &to_table.tracks[to_column] {
                    track.set(to_chunk.position, to.1);
                }
                continue;
            };
            match (from_table.locations[from_column], to_table.locations[to_column]) {
                (Location::Columnar { .. }, Location::Columnar { .. }) => {
                    for (f, t) in from_table.fields(from_column).iter().zip(to_table.fields(to_column)) {
                        let (f_at, t_at) =
                            (from_table.element(from_chunk, f, from.1), to_table.element(to_chunk, t, to.1));
                        // SAFETY: both rows are within their columns, of the same scalar, in different tables.
                        unsafe { copy_scalar(f_at, t_at, f.scalar.size()) };
                    }
                }
                (Location::Opaque(f), Location::Opaque(t)) => {
                    // SAFETY: the old row's value moves into the new row, which holds none.
                    unsafe { from_chunk.opaque[f as usize].move_values(from.1, &to_chunk.opaque[t as usize], to.1, 1) };
                }
                _ => unreachable!("a component is columnar or opaque in every table"),
            }
            for track in &to_table.tracks[to_column] {
                let pending = from_table
                    .track(from_column, track.subscription.id)
                    .is_some_and(|track| track.get(from_chunk.position, from.1));
                if pending {
                    track.set(to_chunk.position, to.1);
                }
            }
        }
        // SAFETY: both rows are within their chunks.
        unsafe { to_chunk.eids().add(to.1).write(from_chunk.eids().add(from.1).read()) };
    }
}

impl Drop for Tables {
    fn drop(&mut self) {
        for table in self.tables.iter().filter(|table| table.opaque.iter().any(|value| value.drop.is_some())) {
            for position in 0..table.chunk_count() {
                let chunk = self.chunk_at(table, position);
                for row in 0..table.chunk_rows(position) {
                    // SAFETY: rows in use hold values, and nobody looks at them after this.
                    unsafe { chunk.drop_values(row) };
                }
            }
        }
    }
}

/// Copies one element between columns.
///
/// # Safety
/// `from` and `to` are elements of `size` bytes, aligned to it, and do not overlap unless equal.
#[inline(always)]
unsafe fn copy_scalar(from: *const u8, to: *mut u8, size: usize) {
    // SAFETY: the caller's duties; the size is one of the four that scalars have.
    unsafe {
        match size {
            1 => to.write(from.read()),
            2 => to.cast::<u16>().write(from.cast::<u16>().read()),
            4 => to.cast::<u32>().write(from.cast::<u32>().read()),
            _ => to.cast::<u64>().write(from.cast::<u64>().read()),
        }
    }
}

const _: () = assert!(STAGGER.is_multiple_of(size_of::<u64>()));
