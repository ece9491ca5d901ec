// What serializes can be read again; what cannot be cloned is refused.
import { deserialize, serialize } from "node:v8";
import v8 from "v8";

const value = { a: [1, 2n, "ü", null, undefined], map: new Map([[1, new Date(5)]]), bytes: new Uint8Array([1, 2]) };
const bytes = serialize(value);
console.log(Buffer.isBuffer(bytes), bytes.length > 0, v8.serialize === serialize);
console.log(deserialize(bytes));
// A part of a larger buffer.
const larger = new Uint8Array(bytes.length + 16);
larger.set(bytes, 8);
console.log(deserialize(larger.subarray(8, 8 + bytes.length)).a.length);
const attempt = (f) => {
  try {
    console.log(f());
  } catch (error) {
    console.log(error instanceof TypeError ? error.code : error instanceof Error);
  }
};
attempt(() => deserialize("text"));
attempt(() => serialize(() => 1) && "");
attempt(() => deserialize(new Uint8Array(24)) && "");
