/* Sparks: they fall, bounce from the floor and burn out. Four rows at a time.
 *
 * Declared by its system, in this order: writes Position { x, y }, writes Velocity { x, y }, writes Life { seconds };
 * it despawns. */
#include <peristyle_kernel.h>
#include <wasm_simd128.h>

#define GRAVITY -9.81f
#define BOUNCE -0.5f

/* One lane of what the loop below does, for the rows that are left over. */
static void step_row(float *x, float *y, float *vx, float *vy, float dt) {
  *vy += GRAVITY * dt;
  *x += *vx * dt;
  *y += *vy * dt;
  if (*y < 0.0f) {
    *y = 0.0f;
    *vy *= BOUNCE;
  }
}

PERISTYLE_KERNEL void handle(const struct peristyle_descriptor *call) {
  const struct peristyle_group *position = peristyle_component(call, 0);
  const struct peristyle_group *velocity = peristyle_component(call, 1);
  const struct peristyle_group *life = peristyle_component(call, 2);
  float *x = peristyle_write_f32(position, 0), *y = peristyle_write_f32(position, 1);
  float *vx = peristyle_write_f32(velocity, 0), *vy = peristyle_write_f32(velocity, 1);
  float *seconds = peristyle_write_f32(life, 0);
  uint32_t rows = call->rows, row = 0;
  float dt = (float)call->dt;

  v128_t step = wasm_f32x4_splat(dt), fall = wasm_f32x4_splat(GRAVITY * dt);
  v128_t floor = wasm_f32x4_splat(0.0f), bounce = wasm_f32x4_splat(BOUNCE);
  for (; row + 4 <= rows; row += 4) {
    v128_t speed = wasm_f32x4_add(wasm_v128_load(vy + row), fall);
    v128_t height = wasm_f32x4_add(wasm_v128_load(y + row), wasm_f32x4_mul(speed, step));
    v128_t below = wasm_f32x4_lt(height, floor);
    wasm_v128_store(vy + row, wasm_v128_bitselect(wasm_f32x4_mul(speed, bounce), speed, below));
    wasm_v128_store(y + row, wasm_v128_bitselect(floor, height, below));
    v128_t side = wasm_f32x4_mul(wasm_v128_load(vx + row), step);
    wasm_v128_store(x + row, wasm_f32x4_add(wasm_v128_load(x + row), side));
  }
  for (; row < rows; row++) step_row(x + row, y + row, vx + row, vy + row, dt);

  for (row = 0; row < rows; row++) {
    seconds[row] -= dt;
    if (seconds[row] <= 0.0f) peristyle_mark(call->despawn, row);
  }
  peristyle_mark_all(position->changed, rows);
  peristyle_mark_all(velocity->changed, rows);
  peristyle_mark_all(life->changed, rows);
}
