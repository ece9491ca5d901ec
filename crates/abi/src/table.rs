//! The table of functions. Everything else is made from it.

use crate::{
    blocks::Word,
    core::Core,
    status::{Failure, Status},
};

/// Hands the table to a macro: `$with! { /// doc  fn name(argument: type, ...); ... }`, with types `u32` and `f64`. Each
/// function is a method of [`Core`](crate::Core) of the same name; all results are `f64`, see [`answer`](crate::answer).
#[macro_export]
macro_rules! functions {
    ($with:ident) => {
        $with! {
            /// The hash of this table.
            fn abi_hash();
            /// Offset of the header. Never changes.
            fn header();
            /// Makes room for `bytes` bytes of scratch, and gives its offset. What was in it is lost if it moved.
            fn scratch(bytes: f64);
            /// Bytes in use by columns, lists and scratch.
            fn memory_used();
            /// Gives the offset of `bytes` zeroed bytes, 64-byte aligned, which stay where they are until `release`.
            fn allocate(bytes: f64);
            /// Takes back what `allocate` gave.
            fn release(offset: f64);

            /// Defines a component from a text of `bytes` bytes: its name, then a line `field:scalar` for each column; the scalar `entity` is a column of handles. No line: a tag. Gives its number.
            fn define_component(bytes: u32);
            /// Makes, or replaces, columns that the world has once, of a text like a component's, all zero. Gives their number.
            fn define_resource(bytes: u32, rows: u32);
            /// Lists the offsets of a resource's columns (u32). Gives how many there are.
            fn resource_columns(resource: u32);
            /// Rows of a resource.
            fn resource_rows(resource: u32);

            /// The table of exactly the `count` components that are listed (u32).
            fn table(count: u32);
            /// The table that has a component too.
            fn table_with(table: u32, component: u32);
            /// The table that lacks a component.
            fn table_without(table: u32, component: u32);
            /// The table of an entity.
            fn table_of(entity: f64);
            /// Lists a table's components (u32), ascending. Gives how many there are.
            fn table_components(table: u32);
            /// Rows of a table.
            fn table_rows(table: u32);
            /// Makes room for rows of a table, so that spawning them allocates nothing.
            fn reserve(table: u32, rows: u32);

            /// Spawns an entity; its columns are zero, its place in the header. Gives its handle.
            fn spawn(table: u32);
            /// Spawns entities, and lists their handles (f64); columns are zero. The first's place is in the header; the others follow row by row, chunk after chunk as `table_chunks` has them. Gives `count`.
            fn spawn_many(table: u32, count: u32);
            /// Lists the chunks of a table with rows in use (u32), in order. Gives how many.
            fn table_chunks(table: u32);
            /// Destroys an entity.
            fn destroy(entity: f64);
            /// Destroys the listed entities (f64) that live. Gives how many did.
            fn destroy_many(count: u32);
            /// 1 if an entity lives, else 0.
            fn is_alive(entity: f64);
            /// The place of an entity.
            fn locate(entity: f64);
            /// Replaces listed handles (f64) by their places; -1 for who does not live. Gives how many live.
            fn locate_many(count: u32);
            /// Moves an entity to another table; new columns are zero. Its new place is in the header. Gives its place.
            fn relocate(entity: f64, table: u32);
            /// The handle of a living entity's index.
            fn entity(index: u32);
            /// Offset of the records of all indices, 8 bytes each, with the generation in the upper 20 bits; 0 if they do not lie in the memory. Changes when entities are spawned.
            fn entity_records();
            /// Lists handles (f64) of rows of a chunk. Gives `rows`.
            fn handles(chunk: u32, first: u32, rows: u32);
            /// Describes a chunk (u32): table, rows, capacity, offset of the entity indices, offset of the despawn bits, number of components; then for each component, ascending: its number, the offset of its live bits, the number of its columns, their offsets. Gives how many words these are.
            fn chunk(chunk: u32);

            /// Begins a tick: indices that were freed before may be used again. Gives its number.
            fn begin_tick();
            /// Ends the tick.
            fn end_tick();

            /// Counts rows of a component as changed.
            fn mark(chunk: u32, component: u32, first: u32, rows: u32);
            /// Makes a query of a list of `words` words (u32): five lists, each led by its length: all, any, none, changed, added. Gives its number.
            fn query(words: u32);
            /// Ends a query that no system took.
            fn query_drop(query: u32);
            /// Lists the chunks of a query as pairs of chunk and rows (u32), in order of table and row; with `changed` or `added` those with pending rows. Gives how many.
            fn chunks(query: u32);
            /// How many rows, pending ones if there is a row filter, a query has.
            fn query_rows(query: u32);
            /// Copies the pending bits of a chunk's rows, 64-bit words, to the scratch; all bits if there is no row filter. Gives how many rows are pending.
            fn pending(query: u32, chunk: u32);
            /// Says that rows were dealt with: they are pending no more. The first is a multiple of 64.
            fn clear_pending(query: u32, chunk: u32, first: u32, rows: u32);
            /// Starts to follow removals of a component. Gives a cursor.
            fn removals(component: u32);
            /// Lists who lost the component since the last call (f64), oldest first. If some are forgotten, the header says how many, and the next call goes on with the oldest that is remembered. Gives how many.
            fn removals_read(cursor: u32);

            /// Sets which stages a frame has, in which order, from a text of their names, a line each: `startup`, `update`, `late`, `render`, `cleanup`.
            fn stages(bytes: u32);
            /// Adds a system from a text of lines: `name N`, `stage N`, `before N`, `after N`, `reads IDS`, `writes IDS`, `reads-resources IDS`, `writes-resources IDS`, `query ID`, `shape once|rows|parts|whole`, `flags exclusive despawns skip-if-empty atomic`. Ids are divided by blanks, and descriptors have components and resources in the order in which they are named first; lines may be repeated. A query becomes the system's: what it writes is not pending for it. Gives its number.
            fn system(bytes: u32);
            /// Removes a system between frames, with its query. Its number is never given again.
            fn system_drop(system: u32);
            /// Makes the plan, and lists it (u32): for each system in order its number, the position of its stage, its batch. Gives how many systems there are.
            fn compile();
            /// Writes the plan as text to the scratch: who waits for whom, and why. Gives its bytes.
            fn plan_text();
            /// Sets into ranges of about how many rows a system's rows are cut, on multiples of 512; 0 for whole chunks.
            fn ranges(system: u32, rows: u32);
            /// Sets the JSON text, of `bytes` bytes, that kernels of a system find in their descriptor; none for 0. Of a system that `next` handed out, it must come before a lane has its ranges.
            fn extra(system: u32, bytes: u32);
            /// Begins a frame, and its tick. With `serial` not 0, one system after the other. Gives the number of the tick.
            fn frame_begin(dt: f64, time: f64, serial: u32);
            /// What is to be done next: see `NEXT`.
            fn next();
            /// A system that `next` handed out is over; the positions of `failed` descriptors whose calls failed are listed (u32).
            fn settle(system: u32, failed: u32);
            /// Takes the despawn bits of the systems that ran since the last merge, and lists who is to go (f64), in order of plan, table and row, each once. Gives how many; to destroy them, and to carry out commands, is the caller's.
            fn merge();
            /// Ends the frame and its tick, be it over or not. What has not been settled counts as failed.
            fn frame_end();

            /// Makes a mirror of the world from a text of lines: `component N`, and below it `quantised FIELD ERROR`, `linear FIELD`, `none FIELD`, `hidden FIELD`, `optional`, `priority NUMBER`; `hash-every TICKS`, `bytes-per-tick BYTES`, `log-frames FRAMES`, `epoch NUMBER`, `prefix BYTE...`. Gives its number.
            fn mirror(bytes: u32);
            /// Ends a mirror, with its connections and its log: the world keeps nothing for it any more. Its number is never given again.
            fn mirror_drop(mirror: u32);
            /// Publishes the world to all who follow a mirror, as a tick that is above the last one.
            fn mirror_publish(mirror: u32, tick: f64);
            /// Opens a connection, for a client that had the frame of `tick` of `epoch` last, or -1 and -1. Gives its number.
            fn mirror_open(mirror: u32, epoch: f64, tick: f64);
            /// Takes in a client's message of `bytes` bytes.
            fn mirror_receive(mirror: u32, connection: u32, bytes: u32);
            /// Writes the next message for a client to the scratch. Gives its bytes, 0 if it has everything.
            fn mirror_take(mirror: u32, connection: u32);
            /// Writes the next input of a client to the scratch: connection and number (f64), then its bytes. Gives how many bytes in all, 0 if none waits.
            fn mirror_input(mirror: u32);
            /// Writes the schema of the view of everything to the scratch, as clients are sent it. Gives its bytes.
            fn mirror_schema(mirror: u32);
            /// Closes a connection.
            fn mirror_close(mirror: u32, connection: u32);
        }
    };
}

/// A function of the table.
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// Names and types (`u32` or `f64`) of what it takes.
    pub arguments: &'static [(&'static str, &'static str)],
    /// What it does.
    pub doc: &'static str,
    /// Calls it; arguments that are missing are 0 or not a number.
    pub call: fn(&mut Core, &[f64]) -> f64,
}

/// What a function takes.
pub trait Argument {
    /// Reads it from a number of JavaScript. What is out of range becomes the nearest that is not.
    fn from_number(number: f64) -> Self;
}

impl Argument for u32 {
    fn from_number(number: f64) -> u32 {
        number as u32
    }
}

impl Argument for f64 {
    fn from_number(number: f64) -> f64 {
        number
    }
}

/// What a function gives.
pub trait Answer {
    /// As a number of JavaScript, not negative.
    fn number(self) -> f64;
}

impl Answer for () {
    fn number(self) -> f64 {
        0.0
    }
}

impl Answer for bool {
    fn number(self) -> f64 {
        f64::from(u8::from(self))
    }
}

impl Answer for u32 {
    fn number(self) -> f64 {
        f64::from(self)
    }
}

impl Answer for usize {
    fn number(self) -> f64 {
        self as f64
    }
}

impl Answer for f64 {
    fn number(self) -> f64 {
        self
    }
}

/// Calls `function`, and gives its answer as a number; what went wrong as a negative one, with its message where the header
/// says.
#[inline(always)]
pub fn answer<A: Answer>(core: &mut Core, function: impl FnOnce(&mut Core) -> Result<A, Failure>) -> f64 {
    match function(core) {
        Ok(answer) => answer.number(),
        Err(failure) => core.fail(&failure),
    }
}

macro_rules! describe {
    ($($(#[doc = $doc:literal])* fn $name:ident($($argument:ident: $type:ident),*);)*) => {
        /// Every function, in order.
        pub const FUNCTIONS: &[Function] = &[$(
            Function {
                name: stringify!($name),
                arguments: &[$((stringify!($argument), stringify!($type))),*],
                doc: concat!($($doc),*),
                call: |core, numbers| {
                    let mut numbers = numbers.iter().copied();
                    let mut next = || numbers.next().unwrap_or(f64::NAN);
                    let _ = &mut next;
                    $(let $argument = <$type as Argument>::from_number(next());)*
                    answer(core, |core| core.$name($($argument),*))
                },
            },
        )*];
    };
}

functions!(describe);

/// The hash of the table: names and arguments of functions, words of the header, statuses. 52 bits, so that it is an exact
/// number in JavaScript.
pub const HASH: u64 = {
    let mut hash = 0xcbf2_9ce4_8422_2325;
    let mut at = 0;
    while at < FUNCTIONS.len() {
        hash = eat(hash, FUNCTIONS[at].name);
        let mut argument = 0;
        while argument < FUNCTIONS[at].arguments.len() {
            hash = eat(eat(hash, FUNCTIONS[at].arguments[argument].0), FUNCTIONS[at].arguments[argument].1);
            argument += 1;
        }
        at += 1;
    }
    at = 0;
    while at < Word::ALL.len() {
        hash = eat(hash, Word::ALL[at].1);
        at += 1;
    }
    at = 0;
    while at < Status::ALL.len() {
        hash = eat(hash, Status::ALL[at].name());
        at += 1;
    }
    hash & ((1 << 52) - 1)
};

/// FNV-1a over a text and a zero byte.
const fn eat(mut hash: u64, text: &str) -> u64 {
    let (bytes, mut at) = (text.as_bytes(), 0);
    while at <= bytes.len() {
        let byte = if at < bytes.len() { bytes[at] } else { 0 };
        hash = (hash ^ byte as u64).wrapping_mul(0x0000_0100_0000_01b3);
        at += 1;
    }
    hash
}
