import { compileStruct } from "peristyle";

const layout = compileStruct({
  type: "object",
  required: ["x", "level"],
  properties: { x: { type: "number", format: "float" }, level: { type: "integer", minimum: 0, maximum: 255 } },
});
const columns: Record<string, string> = layout.flattenColumns(); // { x: "f32", level: "u8" }
export default columns;

export {};
