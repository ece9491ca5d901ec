/**
 * Sparks that fall, bounce and burn out: one world that is stepped by a job, and a hash of its columns.
 *
 * The job is the WebAssembly kernel of `examples/kernel-c`, or its twin in TypeScript: they come to the same bits, in every host.
 */
import { Scheduler, World, type PoolOptions, type WorldOptions } from "peristyle";

/** What steps the sparks, and where. */
export interface SparksOptions {
  readonly job: { readonly kernel: string | URL | BufferSource } | { readonly module: string | URL };
  readonly world?: WorldOptions;
  readonly pool?: PoolOptions;
}

/** No multiple of four, and more than a chunk. */
const COUNT = 20_003;
const FRAMES = 60;

/** Steps sparks until about half of them are out; how many are left, and a hash of their columns. */
export async function sparks({ job, world: worldOptions, pool }: SparksOptions): Promise<string> {
  const world = new World(worldOptions);
  const Position = world.defineComponent({ name: "Position", fields: { x: "f32", y: "f32" } });
  const Velocity = world.defineComponent({ name: "Velocity", fields: { x: "f32", y: "f32" } });
  const Life = world.defineComponent({ name: "Life", fields: { seconds: "f32" } });
  for (let i = 0; i < COUNT; i++) {
    world.createEntity({
      [Position.id]: { x: 0, y: 5 },
      [Velocity.id]: { x: ((i % 201) - 100) / 13, y: (i % 17) / 3 },
      [Life.id]: { seconds: 0.5 + (i % 100) / 100 },
    });
  }
  const scheduler = new Scheduler(world);
  const extra = [Position.id, Velocity.id, Life.id];
  scheduler.register({
    name: "sparks",
    offload: { ...job, reads: [], writes: [Position, Velocity, Life], despawns: true, extra: () => extra },
  });
  try {
    if (pool) await scheduler.initPool(pool);
    for (let i = 0; i < FRAMES; i++) await scheduler.runFrame(1 / 60, i / 60);
    let hash = 0x811c9dc5;
    for (const view of world.views(world.makeQuery({ all: [Position, Velocity, Life] }))) {
      for (const { id } of [Position, Velocity, Life]) {
        for (const column of Object.values(view.comps[id].fields)) {
          const bytes = new Uint8Array(column.buffer, column.byteOffset, column.byteLength);
          for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193) ^ (hash >>> 15);
        }
      }
    }
    return `${world.size} left, ${(hash >>> 0).toString(16).padStart(8, "0")}`;
  } finally {
    await scheduler.close();
  }
}
