/* WebAssembly kernels in C: what `handle` is called with.
 *
 *   #include <peristyle_kernel.h>
 *
 *   PERISTYLE_KERNEL void handle(const struct peristyle_descriptor *call) {
 *     const struct peristyle_group *position = peristyle_component(call, 0);
 *     float *x = peristyle_write_f32(position, 0);
 *     const float *dx = peristyle_read_f32(peristyle_component(call, 1), 0);
 *     for (uint32_t row = 0; row < call->rows; row++) x[row] += dx[row] * (float)call->dt;
 *     peristyle_mark_all(position->changed, call->rows);
 *   }
 *
 *   clang --target=wasm32 -O3 -mbulk-memory -matomics -msimd128 -nostdlib -Wl,--no-entry,--import-memory \
 *     -Wl,--shared-memory,--max-memory=4294967296,--export=__stack_pointer kernel.c -o kernel.wasm
 *
 * The memory is the world's. So a kernel has no static data: no string literals, no tables, no variables outside of
 * functions. What cannot do without is compiled with -fPIC -fvisibility=hidden and linked with
 * -Wl,--experimental-pic,-shared; each instance then gets a block for it. A stack has 256 KiB.
 *
 * A kernel writes nothing but rows of columns that were declared as written, the bits of those components, the despawn
 * bits, its stack and its own static data. A wrong use of the functions below traps, which fails the call.
 *
 * Offsets are addresses. The layout is that of `peristyle_layout::descriptor`, version 1; it never changes. */
#ifndef PERISTYLE_KERNEL_H
#define PERISTYLE_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#define PERISTYLE_VERSION 1u

#define PERISTYLE_READ 0u
#define PERISTYLE_WRITE 1u

enum peristyle_scalar {
  PERISTYLE_F32 = 1,
  PERISTYLE_F64 = 2,
  PERISTYLE_I8 = 3,
  PERISTYLE_U8 = 4,
  PERISTYLE_I16 = 5,
  PERISTYLE_U16 = 6,
  PERISTYLE_I32 = 7,
  PERISTYLE_U32 = 8,
  PERISTYLE_I64 = 9,
  PERISTYLE_U64 = 10,
  PERISTYLE_BOOL = 11 /* one byte; any value but 0 reads as true */
};

/* Valid during the call. An offset of 0 means "none". */
struct peristyle_descriptor {
  uint32_t version;       /* PERISTYLE_VERSION */
  uint32_t rows;          /* 1 to 16 384 */
  double dt;              /* simulated seconds of this tick */
  double time;            /* simulated time in seconds */
  uint32_t eids;          /* uint32_t entity index of each row; not to be written */
  uint32_t despawn;       /* bits of rows to despawn */
  uint32_t groups;        /* components in declared order, then resources */
  uint32_t components;    /* number of components */
  uint32_t resources;     /* number of resources */
  uint32_t extra;         /* JSON text in UTF-8 */
  uint32_t extra_bytes;
  uint32_t extra_version; /* changes whenever the text does */
};

/* One component or columnar resource. */
struct peristyle_group {
  uint32_t id;            /* the component's number in its world; of a resource, its position */
  uint32_t access;        /* PERISTYLE_READ or PERISTYLE_WRITE */
  uint32_t changed;       /* written: bits to set; read, with a filter: the bits of rows that changed */
  uint32_t columns;
  uint32_t column_count;
  uint32_t reserved;
};

/* One field. */
struct peristyle_column {
  uint32_t offset;        /* aligned to the element's size */
  uint32_t len;           /* number of elements */
  uint32_t scalar;        /* enum peristyle_scalar */
  uint32_t reserved;
};

#define PERISTYLE_KERNEL __attribute__((export_name("handle")))
#define PERISTYLE_INLINE static inline __attribute__((always_inline))

/* Component `at`, in declared order. */
PERISTYLE_INLINE const struct peristyle_group *peristyle_component(const struct peristyle_descriptor *call, uint32_t at) {
  if (call->version != PERISTYLE_VERSION || at >= call->components) __builtin_trap();
  return (const struct peristyle_group *)(uintptr_t)call->groups + at;
}

/* Resource `at`, in declared order. */
PERISTYLE_INLINE const struct peristyle_group *peristyle_resource(const struct peristyle_descriptor *call, uint32_t at) {
  if (call->version != PERISTYLE_VERSION || at >= call->resources) __builtin_trap();
  return (const struct peristyle_group *)(uintptr_t)call->groups + call->components + at;
}

/* Column `at` of a component or resource, which must be of that type. */
PERISTYLE_INLINE const struct peristyle_column *peristyle_column(const struct peristyle_group *group, uint32_t at, uint32_t scalar) {
  const struct peristyle_column *column = (const struct peristyle_column *)(uintptr_t)group->columns + at;
  if (at >= group->column_count || column->scalar != scalar) __builtin_trap();
  return column;
}

#define PERISTYLE_COLUMNS(name, type, scalar)                                                              \
  PERISTYLE_INLINE const type *peristyle_read_##name(const struct peristyle_group *group, uint32_t at) {   \
    return (const type *)(uintptr_t)peristyle_column(group, at, scalar)->offset;                           \
  }                                                                                                        \
  PERISTYLE_INLINE type *peristyle_write_##name(const struct peristyle_group *group, uint32_t at) {        \
    if (group->access != PERISTYLE_WRITE) __builtin_trap();                                                \
    return (type *)(uintptr_t)peristyle_column(group, at, scalar)->offset;                                 \
  }
PERISTYLE_COLUMNS(f32, float, PERISTYLE_F32)
PERISTYLE_COLUMNS(f64, double, PERISTYLE_F64)
PERISTYLE_COLUMNS(i8, int8_t, PERISTYLE_I8)
PERISTYLE_COLUMNS(u8, uint8_t, PERISTYLE_U8)
PERISTYLE_COLUMNS(i16, int16_t, PERISTYLE_I16)
PERISTYLE_COLUMNS(u16, uint16_t, PERISTYLE_U16)
PERISTYLE_COLUMNS(i32, int32_t, PERISTYLE_I32)
PERISTYLE_COLUMNS(u32, uint32_t, PERISTYLE_U32)
PERISTYLE_COLUMNS(i64, int64_t, PERISTYLE_I64)
PERISTYLE_COLUMNS(u64, uint64_t, PERISTYLE_U64)
PERISTYLE_COLUMNS(bool, uint8_t, PERISTYLE_BOOL)
#undef PERISTYLE_COLUMNS

/* Whether a row's bit is set; 0 has none. */
PERISTYLE_INLINE int peristyle_is_marked(uint32_t bits, uint32_t row) {
  return bits != 0 && (((const uint8_t *)(uintptr_t)bits)[row >> 3] >> (row & 7) & 1);
}

/* Sets a row's bit: it was written, or is to be despawned. */
PERISTYLE_INLINE void peristyle_mark(uint32_t bits, uint32_t row) {
  if (bits == 0) __builtin_trap();
  ((uint8_t *)(uintptr_t)bits)[row >> 3] |= (uint8_t)(1u << (row & 7));
}

/* Sets the bits of all rows. */
PERISTYLE_INLINE void peristyle_mark_all(uint32_t bits, uint32_t rows) {
  if (bits == 0) __builtin_trap();
  uint8_t *bytes = (uint8_t *)(uintptr_t)bits;
  for (uint32_t at = 0; at < rows >> 3; at++) bytes[at] = 0xff;
  if (rows & 7) bytes[rows >> 3] |= (uint8_t)((1u << (rows & 7)) - 1);
}

#endif
