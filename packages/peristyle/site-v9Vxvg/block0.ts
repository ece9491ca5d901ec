import { PeristyleError, S, compileStruct } from "peristyle";

export function sizeOf(document: unknown): number | string {
  try {
    return compileStruct(document).size;
  } catch (error) {
    if (error instanceof PeristyleError) return error.code;
    throw error;
  }
}
export const sizes = [sizeOf(S.struct({ x: S.f32() })), sizeOf({ type: "string" })];

export {};
