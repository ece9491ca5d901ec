/** Columns of codes of every width, wherever in a message they lie. */
import { expect, test } from "vitest";
import { Reader } from "../src/client/replica/bytes.js";
import { Packed } from "../src/client/replica/pack.js";

/** Form, width and what both are followed by: a least of -3, or a shift of 2. */
const heads = [
  { form: 0, follows: 5, value: (code: number) => code - 3 },
  { form: 1, follows: 2, value: (code: number) => code << 2 },
];

/** Codes as they lie in a message, low bits first. */
function packed(form: number, follows: number, width: number, codes: readonly number[]): number[] {
  const bytes = new Array<number>(Math.ceil((codes.length * width) / 8)).fill(0);
  codes.forEach((code, place) => {
    for (let bit = 0; bit < width; bit++) {
      const at = place * width + bit;
      bytes[at >>> 3] |= (Math.floor(code / 2 ** bit) & 1) << (at & 7);
    }
  });
  return [(form << 6) | width, follows, ...bytes];
}

test.each(heads)("codes of form $form come out of every width", ({ form, follows, value }) => {
  for (let width = 0; width <= 27; width++) {
    for (const count of [1, 3, 4, 7, 8, 31, 70]) {
      const codes = Array.from({ length: count }, (_, place) => (place * 2654435761) % 2 ** width);
      for (const after of [0, 1, 9]) {
        const rest = new Array<number>(after).fill(255);
        const message = Uint8Array.from([7, ...packed(form, follows, width, codes), ...rest]);
        const reader = new Reader(message);
        reader.u8();
        const column = new Packed(1);
        column.read(reader, count);
        expect(reader.left).toBe(after);
        const out = new Int32Array(count);
        // In parts, as a column takes them in.
        for (let first = 0; first < count; first += 16) {
          const part = out.subarray(first, Math.min(count, first + 16));
          column.unpack(reader, part, first, part.length);
        }
        expect([...out], `width ${width}, ${count} codes, ${after} bytes after`).toEqual(codes.map(value));
      }
    }
  }
});
