/**
 * The columns of one range in one buffer, to be moved to a worker and back.
 *
 * The buffer begins with a descriptor of its own, so a worker reads it as it would read the world's memory. Instead of
 * the records of all entities it has the generation of each row.
 */
import {
  ACCESS_WRITE,
  COLUMN,
  COLUMN_WORDS,
  DESCRIPTOR,
  DESCRIPTOR_WORDS,
  GROUP,
  GROUP_WORDS,
  bitsBytes,
  scalarBytes,
} from "./descriptor.js";

/** A range that was gathered. */
export interface Gathered {
  readonly buffer: ArrayBuffer;
  /** Offset of its descriptor. */
  readonly at: number;
  /** Offset of the generations, one word per row. */
  readonly generations: number;
  /** Bytes that were copied. */
  readonly bytes: number;
}

/** 0 means "none", so nothing lies there. */
const START = 64;
const padded = (bytes: number): number => (bytes + 63) & ~63;
/** The bits of an entity's record that are its generation: 44 to 63. */
const GENERATION_SHIFT = 12;

/** Copies what the descriptor at `at` names. `take` gives a buffer of at least so many bytes. */
export function gather(
  memory: ArrayBufferLike,
  at: number,
  entities: number,
  take: (bytes: number) => ArrayBuffer,
): Gathered {
  const words = new Uint32Array(memory);
  const source = new Uint8Array(memory);
  const from = at >> 2;
  const rows = words[from + DESCRIPTOR.rows];
  const groups = words[from + DESCRIPTOR.components] + words[from + DESCRIPTOR.resources];
  const columns = eachColumn(words, from, groups);
  const groupsAt = START + padded(DESCRIPTOR_WORDS * 4);
  const columnsAt = groupsAt + padded(groups * GROUP_WORDS * 4);
  const generations = columnsAt + padded(columns.length * COLUMN_WORDS * 4);
  const eids = generations + padded(rows * 4);
  const bits = padded(bitsBytes(rows));
  let size = eids + padded(rows * 4) + bits * (1 + groups);
  for (const column of columns) size += padded(words[column + COLUMN.len] * scalarBytes(words[column + COLUMN.scalar]));

  const buffer = take(size);
  const target = new Uint8Array(buffer);
  const out = new Uint32Array(buffer);
  const to = START >> 2;
  out.set(words.subarray(from, from + DESCRIPTOR_WORDS), to);
  out[to + DESCRIPTOR.eids] = eids;
  out[to + DESCRIPTOR.groups] = groupsAt;
  const indices = words.subarray(words[from + DESCRIPTOR.eids] >> 2, (words[from + DESCRIPTOR.eids] >> 2) + rows);
  out.set(indices, eids >> 2);
  for (let row = 0; row < rows; row++) {
    out[(generations >> 2) + row] = words[(entities >> 2) + indices[row] * 2 + 1] >>> GENERATION_SHIFT;
  }
  let next = eids + padded(rows * 4);
  const copy = (offset: number, bytes: number): number => {
    const place = next;
    target.set(source.subarray(offset, offset + bytes), place);
    next += padded(bytes);
    return place;
  };
  const bitsOf = (offset: number): number => (offset === 0 ? 0 : copy(offset, bitsBytes(rows)));
  out[to + DESCRIPTOR.despawn] = bitsOf(words[from + DESCRIPTOR.despawn]);
  let column = columnsAt;
  let index = 0;
  for (let i = 0; i < groups; i++) {
    const group = (words[from + DESCRIPTOR.groups] >> 2) + i * GROUP_WORDS;
    const place = (groupsAt >> 2) + i * GROUP_WORDS;
    out.set(words.subarray(group, group + GROUP_WORDS), place);
    out[place + GROUP.changed] = bitsOf(words[group + GROUP.changed]);
    out[place + GROUP.columns] = column;
    for (let n = words[group + GROUP.columnCount]; n > 0; n--, index++, column += COLUMN_WORDS * 4) {
      const known = columns[index];
      out.set(words.subarray(known, known + COLUMN_WORDS), column >> 2);
      const bytes = words[known + COLUMN.len] * scalarBytes(words[known + COLUMN.scalar]);
      out[(column >> 2) + COLUMN.offset] = copy(words[known + COLUMN.offset], bytes);
    }
  }
  return { buffer, at: START, generations, bytes: next };
}

/**
 * Copies back what a job may have written: columns and bits of written groups, and the bits of despawns. Gives bytes.
 */
export function scatter(memory: ArrayBufferLike, at: number, buffer: ArrayBuffer): number {
  const words = new Uint32Array(memory);
  const target = new Uint8Array(memory);
  const source = new Uint8Array(buffer);
  const back = new Uint32Array(buffer);
  const [from, to] = [START >> 2, at >> 2];
  const rows = words[to + DESCRIPTOR.rows];
  const groups = words[to + DESCRIPTOR.components] + words[to + DESCRIPTOR.resources];
  let copied = 0;
  const copy = (offset: number, place: number, bytes: number): void => {
    if (offset === 0 || place === 0) return;
    target.set(source.subarray(offset, offset + bytes), place);
    copied += bytes;
  };
  copy(back[from + DESCRIPTOR.despawn], words[to + DESCRIPTOR.despawn], bitsBytes(rows));
  for (let i = 0; i < groups; i++) {
    const group = (words[to + DESCRIPTOR.groups] >> 2) + i * GROUP_WORDS;
    const place = (back[from + DESCRIPTOR.groups] >> 2) + i * GROUP_WORDS;
    if (words[group + GROUP.access] !== ACCESS_WRITE) continue;
    copy(back[place + GROUP.changed], words[group + GROUP.changed], bitsBytes(rows));
    for (let n = 0; n < words[group + GROUP.columnCount]; n++) {
      const column = (words[group + GROUP.columns] >> 2) + n * COLUMN_WORDS;
      const moved = (back[place + GROUP.columns] >> 2) + n * COLUMN_WORDS;
      const bytes = words[column + COLUMN.len] * scalarBytes(words[column + COLUMN.scalar]);
      copy(back[moved + COLUMN.offset], words[column + COLUMN.offset], bytes);
    }
  }
  return copied;
}

/** Where the columns of a descriptor are described, in words. */
function eachColumn(words: Uint32Array, descriptor: number, groups: number): number[] {
  const columns: number[] = [];
  for (let i = 0; i < groups; i++) {
    const group = (words[descriptor + DESCRIPTOR.groups] >> 2) + i * GROUP_WORDS;
    for (let n = 0; n < words[group + GROUP.columnCount]; n++) {
      columns.push((words[group + GROUP.columns] >> 2) + n * COLUMN_WORDS);
    }
  }
  return columns;
}
