// node:v8
(function (node) {
  "use strict";

  const { native, badType } = node;
  const { Buffer } = node.builtin("buffer");
  return {
    serialize: (value) => Buffer.from(native.serialize(value).buffer),
    deserialize: (bytes) => {
      if (!ArrayBuffer.isView(bytes)) throw badType("buffer", "an instance of Buffer, TypedArray, or DataView", bytes);
      return native.deserialize(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength));
    },
  };
});
