// node:buffer: bytes with Node's methods, as far as scripts of workers use them.
(function (node) {
  "use strict";

  const { badType, outOfRange, failure } = node;
  const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

  const encodeUtf8 = (text) => {
    const bytes = [];
    for (const character of text.toWellFormed()) {
      const code = character.codePointAt(0);
      if (code < 0x80) bytes.push(code);
      else if (code < 0x800) bytes.push(0xc0 | (code >> 6), 0x80 | (code & 63));
      else if (code < 0x10000) bytes.push(0xe0 | (code >> 12), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
      else bytes.push(0xf0 | (code >> 18), 0x80 | ((code >> 12) & 63), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
    }
    return bytes;
  };
  // As the web's decoder: each maximal part of a wrong sequence becomes one U+FFFD.
  const decodeUtf8 = (bytes) => {
    let text = "";
    for (let i = 0; i < bytes.length; ) {
      const first = bytes[i++];
      if (first < 0x80) {
        text += String.fromCharCode(first);
        continue;
      }
      const more = first >= 0xc2 && first <= 0xdf ? 1 : first >= 0xe0 && first <= 0xef ? 2 : first >= 0xf0 && first <= 0xf4 ? 3 : 0;
      let code = more === 0 ? 0xfffd : first & (0x3f >> more);
      let low = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
      let high = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
      for (let left = more; left > 0; left--) {
        const next = bytes[i];
        if (next === undefined || next < low || next > high) {
          code = 0xfffd;
          break;
        }
        [low, high] = [0x80, 0xbf];
        code = (code << 6) | (next & 63);
        i++;
      }
      text += String.fromCodePoint(code);
    }
    return text;
  };
  const toBase64 = (bytes, isUrl) => {
    let text = "";
    for (let i = 0; i < bytes.length; i += 3) {
      const word = (bytes[i] << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
      const digits = Math.min(bytes.length - i, 3) + 1;
      for (let at = 0; at < 4; at++) text += at < digits ? ALPHABET[(word >> (18 - 6 * at)) & 63] : isUrl ? "" : "=";
    }
    return isUrl ? text.replaceAll("+", "-").replaceAll("/", "_") : text;
  };
  const fromBase64 = (text) => {
    const bytes = [];
    let word = 0;
    let bits = 0;
    for (const character of text) {
      if (character === "=") break;
      const digit = ALPHABET.indexOf(character === "-" ? "+" : character === "_" ? "/" : character);
      if (digit < 0) continue;
      word = ((word << 6) | digit) & 0xffff;
      bits += 6;
      if (bits >= 8) bytes.push((word >> (bits -= 8)) & 255);
    }
    return bytes;
  };
  const latin1 = (bytes, mask) => {
    let text = "";
    for (const byte of bytes) text += String.fromCharCode(byte & mask);
    return text;
  };
  const ENCODINGS = {
    utf8: [encodeUtf8, decodeUtf8],
    hex: [
      (text) => {
        const bytes = [];
        for (let i = 0; i + 1 < text.length; i += 2) {
          const pair = text.slice(i, i + 2);
          if (!/^[\da-f]{2}$/i.test(pair)) break;
          bytes.push(Number.parseInt(pair, 16));
        }
        return bytes;
      },
      (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(""),
    ],
    base64: [fromBase64, (bytes) => toBase64(bytes, false)],
    base64url: [fromBase64, (bytes) => toBase64(bytes, true)],
    latin1: [(text) => Array.from({ length: text.length }, (_, at) => text.charCodeAt(at) & 255), (bytes) => latin1(bytes, 255)],
    ascii: [(text) => Array.from({ length: text.length }, (_, at) => text.charCodeAt(at) & 255), (bytes) => latin1(bytes, 127)],
    utf16le: [
      (text) => Array.from({ length: text.length }, (_, at) => [text.charCodeAt(at) & 255, text.charCodeAt(at) >> 8]).flat(),
      (bytes) => {
        let text = "";
        for (let i = 0; i + 1 < bytes.length; i += 2) text += String.fromCharCode(bytes[i] | (bytes[i + 1] << 8));
        return text;
      },
    ],
  };
  const ALIASES = { "utf-8": "utf8", binary: "latin1", ucs2: "utf16le", "ucs-2": "utf16le", "utf-16le": "utf16le" };
  const encodingOf = (name) => {
    const lower = `${name ?? "utf8"}`.toLowerCase();
    return ENCODINGS[ALIASES[lower] ?? lower];
  };
  const coder = (name) => {
    const found = encodingOf(name);
    if (!found) throw failure(TypeError, "ERR_UNKNOWN_ENCODING", `Unknown encoding: ${name}`);
    return found;
  };
  const size = (count) => {
    if (typeof count !== "number") throw badType("size", "of type number", count);
    if (!(count >= 0 && count <= Number.MAX_SAFE_INTEGER)) throw outOfRange("size", ">= 0 && <= 9007199254740991", count);
    return count;
  };

  class FastBuffer extends Uint8Array {
    toString(encoding, start = 0, end = this.length) {
      return coder(encoding)[1](this.subarray(Math.max(start, 0), end));
    }
    toJSON() {
      return { type: "Buffer", data: Array.from(this) };
    }
    slice(start, end) {
      return this.subarray(start, end);
    }
    equals(other) {
      return Buffer.compare(this, other) === 0;
    }
    compare(other) {
      return Buffer.compare(this, other);
    }
    write(text, offset = 0, length, encoding) {
      if (typeof offset === "string") [offset, encoding] = [0, offset];
      if (typeof length === "string") [length, encoding] = [undefined, length];
      const bytes = coder(encoding)[0](text).slice(0, Math.min(length ?? Infinity, this.length - offset));
      this.set(bytes, offset);
      return bytes.length;
    }
    copy(target, targetStart = 0, start = 0, end = this.length) {
      const part = this.subarray(start, Math.min(end, start + target.length - targetStart));
      target.set(part, targetStart);
      return part.length;
    }
    fill(value, start, end, encoding) {
      if (typeof start === "string") [start, encoding] = [undefined, start];
      if (typeof value !== "string") return super.fill(value, start, end);
      const bytes = coder(encoding)[0](value);
      const from = start ?? 0;
      const to = end ?? this.length;
      for (let at = from; at < to; at++) this[at] = bytes.length === 0 ? 0 : bytes[(at - from) % bytes.length];
      return this;
    }
    indexOf(value, from = 0, encoding) {
      if (typeof value === "number") return super.indexOf(value & 255, from);
      const wanted = typeof value === "string" ? coder(encoding)[0](value) : value;
      for (let at = Math.max(from, 0); at + wanted.length <= this.length; at++) {
        let same = 0;
        while (same < wanted.length && this[at + same] === wanted[same]) same++;
        if (same === wanted.length) return at;
      }
      return -1;
    }
    includes(value, from, encoding) {
      return this.indexOf(value, from, encoding) >= 0;
    }
    [Symbol.for("nodejs.util.inspect.custom")]() {
      const shown = Array.from(this.subarray(0, 50), (byte) => byte.toString(16).padStart(2, "0")).join(" ");
      const left = this.length - 50;
      return `<Buffer${this.length > 0 ? " " : ""}${shown}${left > 0 ? ` ... ${left} more byte${left > 1 ? "s" : ""}` : ""}>`;
    }
  }
  // Numbers at an offset, in both orders: readInt16LE, writeDoubleBE and so on.
  const NUMBERS = { Int8: 1, UInt8: 1, Int16: 2, UInt16: 2, Int32: 4, UInt32: 4, Float: 4, Double: 8, BigInt64: 8, BigUInt64: 8 };
  const VIEWS = { UInt8: "Uint8", UInt16: "Uint16", UInt32: "Uint32", Float: "Float32", Double: "Float64", BigUInt64: "BigUint64" };
  for (const kind of Object.keys(NUMBERS)) {
    const bytes = NUMBERS[kind];
    for (const order of bytes === 1 ? [""] : ["LE", "BE"]) {
      const view = (buffer, offset) => {
        if (typeof offset !== "number") throw badType("offset", "of type number", offset);
        if (buffer.length < bytes) throw failure(RangeError, "ERR_BUFFER_OUT_OF_BOUNDS", "Attempt to access memory outside buffer bounds");
        if (!(offset >= 0 && offset + bytes <= buffer.length)) throw outOfRange("offset", `>= 0 and <= ${buffer.length - bytes}`, offset);
        return new DataView(buffer.buffer, buffer.byteOffset, buffer.length);
      };
      const name = VIEWS[kind] ?? kind;
      const methods = {
        [`read${kind}${order}`](offset = 0) {
          return view(this, offset)[`get${name}`](offset, order === "LE");
        },
        [`write${kind}${order}`](value, offset = 0) {
          view(this, offset)[`set${name}`](offset, value, order === "LE");
          return offset + bytes;
        },
      };
      for (const key of Object.keys(methods)) {
        for (const alias of new Set([key, key.replace("UInt", "Uint")])) {
          Object.defineProperty(FastBuffer.prototype, alias, { value: methods[key], writable: true, configurable: true });
        }
      }
    }
  }

  // Callable without `new`, as old code does.
  function Buffer(value, encoding) {
    return typeof value === "number" ? Buffer.alloc(value) : Buffer.from(value, encoding);
  }
  Buffer.prototype = FastBuffer.prototype;
  Object.defineProperty(FastBuffer.prototype, "constructor", { value: Buffer, writable: true, configurable: true });
  Object.setPrototypeOf(Buffer, Uint8Array);
  // What `subarray` and its like make; `Buffer` itself takes other arguments.
  Object.defineProperty(Buffer, Symbol.species, { get: () => FastBuffer, configurable: true });
  Object.assign(Buffer, {
    poolSize: 8192,
    from(value, encoding, length) {
      if (typeof value === "string") return new FastBuffer(coder(encoding)[0](value));
      if (value instanceof ArrayBuffer || (globalThis.SharedArrayBuffer && value instanceof SharedArrayBuffer)) {
        return new FastBuffer(value, encoding, length);
      }
      if (typeof value === "object" && value !== null) {
        if (value.type === "Buffer" && Array.isArray(value.data)) return new FastBuffer(value.data);
        if (ArrayBuffer.isView(value) || typeof value.length === "number" || Symbol.iterator in value) return new FastBuffer(Array.from(value));
      }
      const expected = "of type string or an instance of Buffer, ArrayBuffer, or Array or an Array-like Object";
      throw badType("first argument", expected, value);
    },
    alloc: (count, fill, encoding) => (fill === undefined ? new FastBuffer(size(count)) : new FastBuffer(size(count)).fill(fill, encoding)),
    allocUnsafe: (count) => new FastBuffer(size(count)),
    allocUnsafeSlow: (count) => new FastBuffer(size(count)),
    isBuffer: (value) => value instanceof FastBuffer,
    isEncoding: (name) => typeof name === "string" && encodingOf(name) !== undefined,
    byteLength: (value, encoding) => (typeof value === "string" ? coder(encoding)[0](value).length : value.byteLength),
    concat(list, total = list.reduce((sum, { length }) => sum + length, 0)) {
      const joined = Buffer.alloc(total);
      let at = 0;
      for (const part of list) {
        if (at >= total) break;
        const fitting = part.subarray(0, total - at);
        joined.set(fitting, at);
        at += fitting.length;
      }
      return joined;
    },
    compare(one, other) {
      const count = Math.min(one.length, other.length);
      for (let at = 0; at < count; at++) if (one[at] !== other[at]) return one[at] < other[at] ? -1 : 1;
      return Math.sign(one.length - other.length);
    },
  });
  // For other modules of ours: a Buffer on an array's own memory.
  const view = (bytes) => new FastBuffer(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  Object.defineProperty(Buffer, "view", { value: view });

  return { Buffer, kMaxLength: Number.MAX_SAFE_INTEGER, constants: { MAX_LENGTH: Number.MAX_SAFE_INTEGER, MAX_STRING_LENGTH: 2 ** 30 - 2 } };
});
