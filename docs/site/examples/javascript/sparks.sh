clang --target=wasm32 -std=c11 -O3 -msimd128 -mbulk-memory -matomics -nostdlib \
  -Wl,--no-entry,--import-memory,--shared-memory,--max-memory=4294967296,--export=__stack_pointer \
  -I crates/kernel/include examples/kernel-c/kernel.c -o "${OUT:-.}/sparks.wasm"
