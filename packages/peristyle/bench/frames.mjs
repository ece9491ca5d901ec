/**
 * Frames of a stream in which every row moves: as a host of 300 000 flights sends them. Written here byte by byte, so
 * that the measure needs nothing but the client.
 */

const MAGIC = 0xd7;
const VERSION = 1;

function varint(out, value) {
  for (; value >= 0x80; value = Math.floor(value / 0x80)) out.push((value % 0x80) | 0x80);
  out.push(value);
}

function text(out, value) {
  const bytes = new TextEncoder().encode(value);
  varint(out, bytes.length);
  out.push(...bytes);
}

const littleEndian = (write, length) => {
  const bytes = new Uint8Array(length);
  write(new DataView(bytes.buffer));
  return bytes;
};

/** A component `Position` with quantised fields `latitude` and `longitude`, held or linear. */
export function schema(predictor) {
  const components = [1];
  text(components, "Position");
  components.push(...new Uint8Array(8), 1, 2);
  for (const field of ["latitude", "longitude"]) {
    text(components, field);
    const step = littleEndian((view) => view.setFloat64(0, 0.002, true), 8);
    components.push(1, 1, ...step, predictor === "linear" ? 2 : 1);
  }
  let hash = 0xcbf29ce484222325n;
  for (const byte of components) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  const bytes = littleEndian((view) => view.setBigUint64(0, hash, true), 8);
  return { message: Uint8Array.of(MAGIC, VERSION, 0, ...bytes, ...components), low: bytes.slice(0, 4) };
}

/** A column of differences of `width` bits, centred on 0. */
function column(rows, width, random) {
  const bytes = new Uint8Array(Math.ceil((rows * width) / 8));
  const range = 2 ** width;
  for (let row = 0, bit = 0; row < rows; row++) {
    let value = Math.floor(random() * range);
    for (let left = width; left > 0; left--, bit++, value >>= 1) bytes[bit >> 3] |= (value & 1) << (bit & 7);
  }
  const head = [width];
  // Zigzagged: the least difference is minus half the range.
  varint(head, range - 1);
  return [Uint8Array.from(head), bytes];
}

function join(parts) {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/**
 * A snapshot of `rows` rows, then `count` frames in which all of them move by up to `width` bits; `churn` of them leave
 * in each, and others come into their rows.
 */
export function* frames({ rows, width, count, predictor, random, churn = 0 }) {
  const { low } = schema(predictor);
  const start = (flags, tick) => {
    const out = [MAGIC, VERSION, 1, ...low, flags];
    varint(out, tick);
    return out;
  };
  const first = start(1 | 8, 1);
  varint(first, rows);
  first.push(3, 1, 0);
  varint(first, rows - 1);
  const entities = [];
  for (let row = 0; row < rows; row++) varint(entities, row === 0 ? 2 * (2 ** 32 + 1) : 0);
  const masks = [1];
  varint(masks, rows - 1);
  masks.push(0);
  const codes = () => column(rows, 16, random);
  const velocity = predictor === "linear" ? column(rows, 4, random) : [];
  const parts = [...codes(), ...velocity, ...codes(), ...velocity];
  yield join([Uint8Array.from(first), Uint8Array.from(entities), Uint8Array.from(masks), ...parts]);
  // Columns are made once, and go round: making them takes longer than taking them in.
  const columns = Array.from({ length: 6 }, () => column(rows - churn, width, random));
  const newcomers = column(churn, 16, random);
  for (let tick = 2; tick < count + 2; tick++) {
    const out = start(churn > 0 ? 4 | 8 : 0, tick);
    varint(out, 1);
    varint(out, rows);
    const named = [3, 1];
    varint(named, (tick * 977) % (rows - churn));
    varint(named, churn - 1);
    if (churn > 0) {
      out.push(...named, ...new Uint8Array(Math.ceil(churn / 8)).fill(0xff), ...named);
      varint(out, 2 * (2 ** 32 * tick));
      out.push(...new Uint8Array(churn - 1), 1);
      varint(out, churn - 1);
    }
    out.push(1);
    const starts = churn > 0 ? [...newcomers, ...newcomers] : [];
    yield join([Uint8Array.from(out), ...starts, Uint8Array.of(0), ...columns[tick % 6], ...columns[(tick + 1) % 6]]);
  }
}
