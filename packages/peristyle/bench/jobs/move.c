/* What move.mjs does, four rows at a time.
 *
 * Declared by its system, in this order: reads Velocity { x, y }, writes Position { x, y }. */
#include <peristyle_kernel.h>
#include <wasm_simd128.h>

static void step(float *at, const float *by, uint32_t rows, float dt) {
  uint32_t row = 0;
  v128_t times = wasm_f32x4_splat(dt);
  for (; row + 4 <= rows; row += 4) {
    v128_t moved = wasm_f32x4_mul(wasm_v128_load(by + row), times);
    wasm_v128_store(at + row, wasm_f32x4_add(wasm_v128_load(at + row), moved));
  }
  for (; row < rows; row++) at[row] += by[row] * dt;
}

PERISTYLE_KERNEL void handle(const struct peristyle_descriptor *call) {
  const struct peristyle_group *velocity = peristyle_component(call, 0);
  const struct peristyle_group *position = peristyle_component(call, 1);
  float dt = (float)call->dt;
  step(peristyle_write_f32(position, 0), peristyle_read_f32(velocity, 0), call->rows, dt);
  step(peristyle_write_f32(position, 1), peristyle_read_f32(velocity, 1), call->rows, dt);
  peristyle_mark_all(position->changed, call->rows);
}
