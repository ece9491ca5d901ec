import { Buffer as Imported } from "node:buffer";

console.log(Imported === Buffer, Buffer.from("hé€😀"), Buffer.from("hé€😀").toString(), Buffer.from("hé€😀").toString("hex"), Buffer.from("aGk=", "base64").toString());
console.log(Buffer.alloc(3, 1), Buffer.from([1, 256, 3]), Buffer.concat([Buffer.from("a"), Buffer.from("bc")]).toString("base64"), Buffer.byteLength("é"), Buffer.isBuffer(new Uint8Array(1)), Buffer.isBuffer(Buffer.alloc(0)));
const buffer = Buffer.alloc(16);
buffer.writeUInt32LE(0xdeadbeef, 0);
buffer.writeDoubleBE(1.5, 4);
buffer.write("end", 12);
console.log(buffer, buffer.readUInt16BE(0), buffer.readDoubleBE(4), buffer.subarray(12, 15).toString(), buffer.slice(0, 2).length, JSON.stringify(buffer.slice(0, 2)));
console.log(Buffer.compare(Buffer.from("a"), Buffer.from("b")), Buffer.from("abc").equals(Buffer.from("abc")), Buffer.from("hello").indexOf("l"), Buffer.from("hello").includes("xx"), Buffer.from([0xff, 0x61]).toString(), Buffer.from("ff0g", "hex"), Buffer.from("é", "latin1"), Buffer.from("ab", "utf16le"));
try {
  Buffer.alloc(1).readUInt32LE(0);
} catch (error) {
  console.log(error.name, error.code);
}
try {
  Buffer.from("x", "nope");
} catch (error) {
  console.log(error.name, error.code, error.message);
}
try {
  Buffer.from(5);
} catch (error) {
  console.log(error.name, error.code);
}
