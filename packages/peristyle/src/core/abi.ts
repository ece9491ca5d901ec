// Made from the table in crates/abi by `cargo run -p peristyle-abi --example typescript`. Do not edit.

/** The hash of the table that these types were made from. */
export const ABI_HASH = 527131261467742;

/** What a negative result means, by its absolute value. */
export const STATUS = [
  "ok",
  "stale",
  "provisional",
  "missing",
  "out-of-memory",
  "entities-exhausted",
  "nested-tick",
  "no-tick",
  "name-taken",
  "bad-field",
  "bad-argument",
  "bad-text",
  "leased",
  "unknown-system",
  "duplicate-system",
  "no-stage",
  "wrong-stage",
  "cycle",
  "frame-running",
  "no-frame",
  "bad-view",
  "bad-message",
  "flooded",
  "closed",
] as const;

/** What can go wrong in a call. */
export type Status = (typeof STATUS)[number];

/** The words of the header, by which the core tells what it does not return: `u32` each. */
export const HEADER = {
  /** Offset of the scratch block. Calls that need more room move it. */
  scratch: 0,
  /** Bytes of the scratch block. */
  scratchBytes: 1,
  /** Changes when a chunk was replaced or released: what was known of chunks by their numbers no longer holds. New chunks do not change it. */
  layoutVersion: 2,
  /** Offset of the message of the last error, or of a panic. */
  errorText: 3,
  /** Bytes of that message. */
  errorBytes: 4,
  /** The chunk of the row that `spawn`, `spawn_many` or `relocate` made. */
  chunk: 5,
  /** That row. */
  row: 6,
  /** Entities alive. */
  entities: 7,
  /** The system that `next` hands out. */
  system: 8,
  /** Offset of its range list; 0 if it is given no rows. */
  list: 9,
  /** Rows that it is given, or that its query has. */
  rows: 10,
  /** 1 if its descriptors are for one lane, one after the other. */
  oneLane: 11,
  /** Removals that a reader missed. */
  missed: 12,
  /** Why the core broke off: 1 if it panicked, 2 if the heap is used up; 0 while it did not. */
  broken: 13,
} as const;

/** What {@link Abi.next} says. */
export const NEXT = {
  /** The frame is over: end it. */
  done: 0,
  /** Nothing can start before something is settled. */
  wait: 1,
  /** Run the system in the header, and settle it. */
  run: 2,
  /** A stage, or a part of one, is over: `merge`, carry out commands, then go on. */
  merge: 3,
} as const;

/**
 * The functions of the core.
 *
 * Texts and lists lie in the scratch block, from its start: what a function takes is written there before the call, what it
 * gives is there after it, until the next call. A negative result is a status; the header says where its message is.
 * `entity` is a handle, a safe integer; a place is `chunk * 16384 + row`.
 */
export interface Abi {
  /** The hash of this table. */
  abi_hash(): number;
  /** Offset of the header. Never changes. */
  header(): number;
  /** Makes room for `bytes` bytes of scratch, and gives its offset. What was in it is lost if it moved. */
  scratch(bytes: number): number;
  /** Bytes in use by columns, lists and scratch. */
  memory_used(): number;
  /** Gives the offset of `bytes` zeroed bytes, 64-byte aligned, which stay where they are until `release`. */
  allocate(bytes: number): number;
  /** Takes back what `allocate` gave. */
  release(offset: number): number;
  /** Defines a component from a text of `bytes` bytes: its name, then a line `field:scalar` for each column; the scalar `entity` is a column of handles. No line: a tag. Gives its number. */
  define_component(bytes: number): number;
  /** Makes, or replaces, columns that the world has once, of a text like a component's, all zero. Gives their number. */
  define_resource(bytes: number, rows: number): number;
  /** Lists the offsets of a resource's columns (u32). Gives how many there are. */
  resource_columns(resource: number): number;
  /** Rows of a resource. */
  resource_rows(resource: number): number;
  /** The table of exactly the `count` components that are listed (u32). */
  table(count: number): number;
  /** The table that has a component too. */
  table_with(table: number, component: number): number;
  /** The table that lacks a component. */
  table_without(table: number, component: number): number;
  /** The table of an entity. */
  table_of(entity: number): number;
  /** Lists a table's components (u32), ascending. Gives how many there are. */
  table_components(table: number): number;
  /** Rows of a table. */
  table_rows(table: number): number;
  /** Makes room for rows of a table, so that spawning them allocates nothing. */
  reserve(table: number, rows: number): number;
  /** Spawns an entity; its columns are zero, its place in the header. Gives its handle. */
  spawn(table: number): number;
  /** Spawns entities, and lists their handles (f64); columns are zero. The first's place is in the header; the others follow row by row, chunk after chunk as `table_chunks` has them. Gives `count`. */
  spawn_many(table: number, count: number): number;
  /** Lists the chunks of a table with rows in use (u32), in order. Gives how many. */
  table_chunks(table: number): number;
  /** Destroys an entity. */
  destroy(entity: number): number;
  /** Destroys the listed entities (f64) that live. Gives how many did. */
  destroy_many(count: number): number;
  /** 1 if an entity lives, else 0. */
  is_alive(entity: number): number;
  /** The place of an entity. */
  locate(entity: number): number;
  /** Replaces listed handles (f64) by their places; -1 for who does not live. Gives how many live. */
  locate_many(count: number): number;
  /** Moves an entity to another table; new columns are zero. Its new place is in the header. Gives its place. */
  relocate(entity: number, table: number): number;
  /** The handle of a living entity's index. */
  entity(index: number): number;
  /** Offset of the records of all indices, 8 bytes each, with the generation in the upper 20 bits; 0 if they do not lie in the memory. Changes when entities are spawned. */
  entity_records(): number;
  /** Lists handles (f64) of rows of a chunk. Gives `rows`. */
  handles(chunk: number, first: number, rows: number): number;
  /** Describes a chunk (u32): table, rows, capacity, offset of the entity indices, offset of the despawn bits, number of components; then for each component, ascending: its number, the offset of its live bits, the number of its columns, their offsets. Gives how many words these are. */
  chunk(chunk: number): number;
  /** Begins a tick: indices that were freed before may be used again. Gives its number. */
  begin_tick(): number;
  /** Ends the tick. */
  end_tick(): number;
  /** Counts rows of a component as changed. */
  mark(chunk: number, component: number, first: number, rows: number): number;
  /** Makes a query of a list of `words` words (u32): five lists, each led by its length: all, any, none, changed, added. Gives its number. */
  query(words: number): number;
  /** Ends a query that no system took. */
  query_drop(query: number): number;
  /** Lists the chunks of a query as pairs of chunk and rows (u32), in order of table and row; with `changed` or `added` those with pending rows. Gives how many. */
  chunks(query: number): number;
  /** How many rows, pending ones if there is a row filter, a query has. */
  query_rows(query: number): number;
  /** Copies the pending bits of a chunk's rows, 64-bit words, to the scratch; all bits if there is no row filter. Gives how many rows are pending. */
  pending(query: number, chunk: number): number;
  /** Says that rows were dealt with: they are pending no more. The first is a multiple of 64. */
  clear_pending(query: number, chunk: number, first: number, rows: number): number;
  /** Starts to follow removals of a component. Gives a cursor. */
  removals(component: number): number;
  /** Lists who lost the component since the last call (f64), oldest first. If some are forgotten, the header says how many, and the next call goes on with the oldest that is remembered. Gives how many. */
  removals_read(cursor: number): number;
  /** Sets which stages a frame has, in which order, from a text of their names, a line each: `startup`, `update`, `late`, `render`, `cleanup`. */
  stages(bytes: number): number;
  /** Adds a system from a text of lines: `name N`, `stage N`, `before N`, `after N`, `reads IDS`, `writes IDS`, `reads-resources IDS`, `writes-resources IDS`, `query ID`, `shape once|rows|parts|whole`, `flags exclusive despawns skip-if-empty atomic`. Ids are divided by blanks, and descriptors have components and resources in the order in which they are named first; lines may be repeated. A query becomes the system's: what it writes is not pending for it. Gives its number. */
  system(bytes: number): number;
  /** Removes a system between frames, with its query. Its number is never given again. */
  system_drop(system: number): number;
  /** Makes the plan, and lists it (u32): for each system in order its number, the position of its stage, its batch. Gives how many systems there are. */
  compile(): number;
  /** Writes the plan as text to the scratch: who waits for whom, and why. Gives its bytes. */
  plan_text(): number;
  /** Sets into ranges of about how many rows a system's rows are cut, on multiples of 512; 0 for whole chunks. */
  ranges(system: number, rows: number): number;
  /** Sets the JSON text, of `bytes` bytes, that kernels of a system find in their descriptor; none for 0. Of a system that `next` handed out, it must come before a lane has its ranges. */
  extra(system: number, bytes: number): number;
  /** Begins a frame, and its tick. With `serial` not 0, one system after the other. Gives the number of the tick. */
  frame_begin(dt: number, time: number, serial: number): number;
  /** What is to be done next: see `NEXT`. */
  next(): number;
  /** A system that `next` handed out is over; the positions of `failed` descriptors whose calls failed are listed (u32). */
  settle(system: number, failed: number): number;
  /** Takes the despawn bits of the systems that ran since the last merge, and lists who is to go (f64), in order of plan, table and row, each once. Gives how many; to destroy them, and to carry out commands, is the caller's. */
  merge(): number;
  /** Ends the frame and its tick, be it over or not. What has not been settled counts as failed. */
  frame_end(): number;
  /** Makes a mirror of the world from a text of lines: `component N`, and below it `quantised FIELD ERROR`, `linear FIELD`, `none FIELD`, `hidden FIELD`, `optional`, `priority NUMBER`; `hash-every TICKS`, `bytes-per-tick BYTES`, `log-frames FRAMES`, `epoch NUMBER`, `prefix BYTE...`. Gives its number. */
  mirror(bytes: number): number;
  /** Ends a mirror, with its connections and its log: the world keeps nothing for it any more. Its number is never given again. */
  mirror_drop(mirror: number): number;
  /** Publishes the world to all who follow a mirror, as a tick that is above the last one. */
  mirror_publish(mirror: number, tick: number): number;
  /** Opens a connection, for a client that had the frame of `tick` of `epoch` last, or -1 and -1. Gives its number. */
  mirror_open(mirror: number, epoch: number, tick: number): number;
  /** Takes in a client's message of `bytes` bytes. */
  mirror_receive(mirror: number, connection: number, bytes: number): number;
  /** Writes the next message for a client to the scratch. Gives its bytes, 0 if it has everything. */
  mirror_take(mirror: number, connection: number): number;
  /** Writes the next input of a client to the scratch: connection and number (f64), then its bytes. Gives how many bytes in all, 0 if none waits. */
  mirror_input(mirror: number): number;
  /** Writes the schema of the view of everything to the scratch, as clients are sent it. Gives its bytes. */
  mirror_schema(mirror: number): number;
  /** Closes a connection. */
  mirror_close(mirror: number, connection: number): number;
}

/**
 * The same functions, behind which `broken` is given what a core throws that breaks off. Each is written out, so that engines
 * compile the way into each for itself.
 */
export function guarded(raw: Abi, broken: (cause: unknown) => never): Abi {
  return {
    abi_hash() {
      try {
        return raw.abi_hash();
      } catch (cause) {
        broken(cause);
      }
    },
    header() {
      try {
        return raw.header();
      } catch (cause) {
        broken(cause);
      }
    },
    scratch(bytes) {
      try {
        return raw.scratch(bytes);
      } catch (cause) {
        broken(cause);
      }
    },
    memory_used() {
      try {
        return raw.memory_used();
      } catch (cause) {
        broken(cause);
      }
    },
    allocate(bytes) {
      try {
        return raw.allocate(bytes);
      } catch (cause) {
        broken(cause);
      }
    },
    release(offset) {
      try {
        return raw.release(offset);
      } catch (cause) {
        broken(cause);
      }
    },
    define_component(bytes) {
      try {
        return raw.define_component(bytes);
      } catch (cause) {
        broken(cause);
      }
    },
    define_resource(bytes, rows) {
      try {
        return raw.define_resource(bytes, rows);
      } catch (cause) {
        broken(cause);
      }
    },
    resource_columns(resource) {
      try {
        return raw.resource_columns(resource);
      } catch (cause) {
        broken(cause);
      }
    },
    resource_rows(resource) {
      try {
        return raw.resource_rows(resource);
      } catch (cause) {
        broken(cause);
      }
    },
    table(count) {
      try {
        return raw.table(count);
      } catch (cause) {
        broken(cause);
      }
    },
    table_with(table, component) {
      try {
        return raw.table_with(table, component);
      } catch (cause) {
        broken(cause);
      }
    },
    table_without(table, component) {
      try {
        return raw.table_without(table, component);
      } catch (cause) {
        broken(cause);
      }
    },
    table_of(entity) {
      try {
        return raw.table_of(entity);
      } catch (cause) {
        broken(cause);
      }
    },
    table_components(table) {
      try {
        return raw.table_components(table);
      } catch (cause) {
        broken(cause);
      }
    },
    table_rows(table) {
      try {
        return raw.table_rows(table);
      } catch (cause) {
        broken(cause);
      }
    },
    reserve(table, rows) {
      try {
        return raw.reserve(table, rows);
      } catch (cause) {
        broken(cause);
      }
    },
    spawn(table) {
      try {
        return raw.spawn(table);
      } catch (cause) {
        broken(cause);
      }
    },
    spawn_many(table, count) {
      try {
        return raw.spawn_many(table, count);
      } catch (cause) {
        broken(cause);
      }
    },
    table_chunks(table) {
      try {
        return raw.table_chunks(table);
      } catch (cause) {
        broken(cause);
      }
    },
    destroy(entity) {
      try {
        return raw.destroy(entity);
      } catch (cause) {
        broken(cause);
      }
    },
    destroy_many(count) {
      try {
        return raw.destroy_many(count);
      } catch (cause) {
        broken(cause);
      }
    },
    is_alive(entity) {
      try {
        return raw.is_alive(entity);
      } catch (cause) {
        broken(cause);
      }
    },
    locate(entity) {
      try {
        return raw.locate(entity);
      } catch (cause) {
        broken(cause);
      }
    },
    locate_many(count) {
      try {
        return raw.locate_many(count);
      } catch (cause) {
        broken(cause);
      }
    },
    relocate(entity, table) {
      try {
        return raw.relocate(entity, table);
      } catch (cause) {
        broken(cause);
      }
    },
    entity(index) {
      try {
        return raw.entity(index);
      } catch (cause) {
        broken(cause);
      }
    },
    entity_records() {
      try {
        return raw.entity_records();
      } catch (cause) {
        broken(cause);
      }
    },
    handles(chunk, first, rows) {
      try {
        return raw.handles(chunk, first, rows);
      } catch (cause) {
        broken(cause);
      }
    },
    chunk(chunk) {
      try {
        return raw.chunk(chunk);
      } catch (cause) {
        broken(cause);
      }
    },
    begin_tick() {
      try {
        return raw.begin_tick();
      } catch (cause) {
        broken(cause);
      }
    },
    end_tick() {
      try {
        return raw.end_tick();
      } catch (cause) {
        broken(cause);
      }
    },
    mark(chunk, component, first, rows) {
      try {
        return raw.mark(chunk, component, first, rows);
      } catch (cause) {
        broken(cause);
      }
    },
    query(words) {
      try {
        return raw.query(words);
      } catch (cause) {
        broken(cause);
      }
    },
    query_drop(query) {
      try {
        return raw.query_drop(query);
      } catch (cause) {
        broken(cause);
      }
    },
    chunks(query) {
      try {
        return raw.chunks(query);
      } catch (cause) {
        broken(cause);
      }
    },
    query_rows(query) {
      try {
        return raw.query_rows(query);
      } catch (cause) {
        broken(cause);
      }
    },
    pending(query, chunk) {
      try {
        return raw.pending(query, chunk);
      } catch (cause) {
        broken(cause);
      }
    },
    clear_pending(query, chunk, first, rows) {
      try {
        return raw.clear_pending(query, chunk, first, rows);
      } catch (cause) {
        broken(cause);
      }
    },
    removals(component) {
      try {
        return raw.removals(component);
      } catch (cause) {
        broken(cause);
      }
    },
    removals_read(cursor) {
      try {
        return raw.removals_read(cursor);
      } catch (cause) {
        broken(cause);
      }
    },
    stages(bytes) {
      try {
        return raw.stages(bytes);
      } catch (cause) {
        broken(cause);
      }
    },
    system(bytes) {
      try {
        return raw.system(bytes);
      } catch (cause) {
        broken(cause);
      }
    },
    system_drop(system) {
      try {
        return raw.system_drop(system);
      } catch (cause) {
        broken(cause);
      }
    },
    compile() {
      try {
        return raw.compile();
      } catch (cause) {
        broken(cause);
      }
    },
    plan_text() {
      try {
        return raw.plan_text();
      } catch (cause) {
        broken(cause);
      }
    },
    ranges(system, rows) {
      try {
        return raw.ranges(system, rows);
      } catch (cause) {
        broken(cause);
      }
    },
    extra(system, bytes) {
      try {
        return raw.extra(system, bytes);
      } catch (cause) {
        broken(cause);
      }
    },
    frame_begin(dt, time, serial) {
      try {
        return raw.frame_begin(dt, time, serial);
      } catch (cause) {
        broken(cause);
      }
    },
    next() {
      try {
        return raw.next();
      } catch (cause) {
        broken(cause);
      }
    },
    settle(system, failed) {
      try {
        return raw.settle(system, failed);
      } catch (cause) {
        broken(cause);
      }
    },
    merge() {
      try {
        return raw.merge();
      } catch (cause) {
        broken(cause);
      }
    },
    frame_end() {
      try {
        return raw.frame_end();
      } catch (cause) {
        broken(cause);
      }
    },
    mirror(bytes) {
      try {
        return raw.mirror(bytes);
      } catch (cause) {
        broken(cause);
      }
    },
    mirror_drop(mirror) {
      try {
        return raw.mirror_drop(mirror);
      } catch (cause) {
        broken(cause);
      }
    },
    mirror_publish(mirror, tick) {
      try {
        return raw.mirror_publish(mirror, tick);
      } catch (cause) {
        broken(cause);
      }
    },
    mirror_open(mirror, epoch, tick) {
      try {
        return raw.mirror_open(mirror, epoch, tick);
      } catch (cause) {
        broken(cause);
      }
    },
    mirror_receive(mirror, connection, bytes) {
      try {
        return raw.mirror_receive(mirror, connection, bytes);
      } catch (cause) {
        broken(cause);
      }
    },
    mirror_take(mirror, connection) {
      try {
        return raw.mirror_take(mirror, connection);
      } catch (cause) {
        broken(cause);
      }
    },
    mirror_input(mirror) {
      try {
        return raw.mirror_input(mirror);
      } catch (cause) {
        broken(cause);
      }
    },
    mirror_schema(mirror) {
      try {
        return raw.mirror_schema(mirror);
      } catch (cause) {
        broken(cause);
      }
    },
    mirror_close(mirror, connection) {
      try {
        return raw.mirror_close(mirror, connection);
      } catch (cause) {
        broken(cause);
      }
    },
  };
}
