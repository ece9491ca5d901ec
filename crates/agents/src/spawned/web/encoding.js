// TextEncoder, TextDecoder, atob and btoa.
(function (internals) {
  "use strict";

  const { native, tag, DOMException } = internals;
  const { RangeError, String, TypeError, Uint8Array } = globalThis;

  class TextEncoder {
    get encoding() {
      return "utf-8";
    }
    encode(text = "") {
      return native.encode(`${text}`);
    }
    encodeInto(text, array) {
      text = `${text}`;
      if (!(array instanceof Uint8Array)) throw new TypeError("TextEncoder.encodeInto: the second argument is no Uint8Array");
      const [read, written] = native.encodeInto(text, array);
      return { read, written };
    }
  }

  class TextDecoder {
    #encoding;
    #fatal;
    #ignoreBOM;
    #decoder;
    constructor(label = "utf-8", options = undefined) {
      label = `${label}`;
      this.#fatal = !!options?.fatal;
      this.#ignoreBOM = !!options?.ignoreBOM;
      const found = native.decoder(label, this.#fatal, this.#ignoreBOM);
      if (!found) throw new RangeError(`TextDecoder: no encoding is called ${internals.inspect.show(label)}`);
      [this.#encoding, this.#decoder] = found;
    }
    get encoding() {
      return this.#encoding;
    }
    get fatal() {
      return this.#fatal;
    }
    get ignoreBOM() {
      return this.#ignoreBOM;
    }
    decode(input = undefined, options = undefined) {
      if (input !== undefined && (typeof input !== "object" || input === null)) {
        throw new TypeError("TextDecoder.decode: the input is neither a buffer nor a view");
      }
      return native.decode(this.#decoder, input, !!options?.stream);
    }
  }
  tag(TextEncoder, "TextEncoder");
  tag(TextDecoder, "TextDecoder");

  const functions = {
    btoa(text) {
      text = `${text}`;
      const bytes = new Uint8Array(text.length);
      for (let i = 0; i < text.length; i++) {
        const unit = text.charCodeAt(i);
        if (unit > 255) throw new DOMException("btoa: a character beyond U+00FF", "InvalidCharacterError");
        bytes[i] = unit;
      }
      return bytes.toBase64();
    },
    atob(text) {
      let bytes;
      try {
        bytes = Uint8Array.fromBase64(`${text}`);
      } catch {
        throw new DOMException("atob: this is no base64", "InvalidCharacterError");
      }
      let result = "";
      for (let i = 0; i < bytes.length; i += 8192) result += String.fromCharCode(...bytes.subarray(i, i + 8192));
      return result;
    },
  };
  return { TextEncoder, TextDecoder, ...functions };
});
