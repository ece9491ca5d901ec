/* A kernel with static data, for the test of what that takes. Declared by its system: writes Life { seconds }. */
#include <peristyle_kernel.h>

static const float table[4] = {1.5f, 2.5f, 4.0f, 8.0f};
/* Found through a pointer, which has to be relocated. */
static const float *const volatile tables[1] = {table};
/* Not initialised, so zero at first. */
static volatile uint32_t calls;

/* Fills a buffer, so that there is something on the stack. */
__attribute__((noinline)) static void fill(volatile float *buffer, uint32_t first) {
  for (uint32_t at = 0; at < 4; at++) buffer[at] = tables[0][(at + first) % 4];
}

PERISTYLE_KERNEL void handle(const struct peristyle_descriptor *call) {
  float *seconds = peristyle_write_f32(peristyle_component(call, 0), 0);
  volatile float buffer[4];
  fill(buffer, calls);
  for (uint32_t row = 0; row < call->rows; row++) seconds[row] = buffer[row % 4];
  calls = calls + 1;
}
