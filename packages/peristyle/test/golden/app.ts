/**
 * The golden app: one world that is stepped the same way in every host, and a hash of all its columns.
 *
 * It has what could come out differently: elementary functions, rows that move, handles that are used again, commands of
 * systems and of jobs, patches of objects, changes that are followed.
 */
import { Scheduler, World, type PoolOptions, type WorldOptions } from "peristyle";

/** Where the app's jobs are, and how it is run. */
export interface GoldenOptions {
  /** The address of a job's module by its name. */
  readonly job: (name: "steer" | "age" | "grow") => string | URL;
  readonly world?: WorldOptions;
  readonly pool?: PoolOptions;
  /** How many particles there are at first, and how many come in each frame. */
  readonly count?: number;
  readonly coming?: number;
}

/** A golden world. */
export interface Golden {
  readonly world: World;
  readonly scheduler: Scheduler;
  /** A hash of all columns and handles, as 8 hexadecimal digits. */
  hash(): string;
}

/** Numbers that look random: the same everywhere, as they are made of integers. */
class Lot {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  /** A multiple of 2^-24 from 0 up to 1. */
  next(): number {
    this.#state = (Math.imul(this.#state, 1_664_525) + 1_013_904_223) | 0;
    return (this.#state >>> 8) / 2 ** 24;
  }
}

/** Makes the golden world. */
export function golden({ job, world: worldOptions, pool, count = 20_000, coming = 40 }: GoldenOptions): Golden {
  const world = new World(worldOptions);
  const Position = world.defineComponent({ name: "Position", fields: { x: "f32", y: "f32" } });
  const Heading = world.defineComponent({ name: "Heading", fields: { angle: "f64", speed: "f32" } });
  const Age = world.defineComponent({ name: "Age", fields: { ticks: "u16", limit: "u16" } });
  const Seen = world.defineComponent({ name: "Seen", fields: { times: "u32", parent: "f64" } });
  const Mass = world.defineComponent<{ kg: number }>({ name: "Mass", defaults: () => ({ kg: 1 }) });
  const scheduler = new Scheduler(world);
  if (pool) void scheduler.initPool(pool);
  const lot = new Lot(42);
  // One in eight moves; the others are enough for more than one chunk.
  const particle = (i: number) => ({
    [Position.id]: { x: lot.next() * 100, y: lot.next() * 100 },
    [Age.id]: { ticks: 0, limit: 100 + Math.floor(lot.next() * 1500) },
    ...(i % 8 === 0 && { [Heading.id]: { angle: lot.next() * 6, speed: 1 + lot.next() } }),
  });

  scheduler.register({
    name: "begin",
    stage: "startup",
    run: ({ cmd }) => {
      for (let i = 0; i < count; i++) {
        const e = cmd.createEntity(particle(i));
        if (i % 500 === 0) cmd.add(e, Mass);
      }
    },
  });
  scheduler.register({
    name: "come",
    writesComponents: [Position, Heading, Age],
    run: ({ cmd }) => {
      for (let i = 0; i < coming; i++) {
        const e = cmd.createEntity(particle(i));
        if (i % 8 === 0) cmd.add(e, Seen, { times: 0, parent: e });
      }
    },
  });
  scheduler.register({
    name: "steer",
    after: "come",
    query: { all: [Position, Heading] },
    offload: {
      module: job("steer"),
      reads: [],
      writes: [Position, Heading],
      extra: () => ({ POSITION: Position.id, HEADING: Heading.id }),
    },
  });
  scheduler.register({
    name: "age",
    offload: { module: job("age"), reads: [], writes: [Age], despawns: true, extra: () => ({ AGE: Age.id }) },
  });
  scheduler.register({
    name: "grow",
    stage: "late",
    query: { all: [Mass, Age] },
    offload: {
      nodeModule: job("grow"),
      module: job("grow"),
      split: false,
      reads: [Age],
      writes: [Mass],
      extra: () => ({ MASS: Mass.id, AGE: Age.id }),
    },
  });
  scheduler.register({
    name: "see",
    stage: "late",
    readsComponents: [Age],
    writesComponents: [Seen],
    run: ({ world: w, cmd, time }) => {
      let i = 0;
      for (const [e, , seen, age] of w.iter(w.makeQuery({ all: [Seen, Age] }), Seen, Age)) {
        if (i++ % 7 === Math.floor(time) % 7) w.set(e, Seen, { times: seen.times + age.ticks, parent: seen.parent });
        if (seen.times > 90_000) cmd.remove(e, Seen);
      }
    },
  });

  const hash = () => {
    let h = 0x811c9dc5;
    const take = (word: number) => (h = Math.imul(h ^ word, 0x01000193) ^ (h >>> 15));
    for (const component of [Position, Heading, Age, Seen]) {
      for (const view of world.views(world.makeQuery({ all: [component] }))) {
        take(view.rows);
        for (const column of Object.values(view.comps[component.id].fields)) {
          const bytes = new Uint8Array(column.buffer, column.byteOffset, column.byteLength);
          for (const byte of bytes) take(byte);
        }
        for (let row = 0; row < view.rows; row++) {
          const entity = view.entity(row);
          take(entity >>> 0);
          take(Math.floor(entity / 2 ** 32));
        }
      }
    }
    for (const [, , mass] of world.iter(world.makeQuery({ all: [Mass] }), Mass)) {
      for (const byte of new Uint8Array(Float64Array.of(mass.kg).buffer)) take(byte);
    }
    return (h >>> 0).toString(16).padStart(8, "0");
  };
  return { world, scheduler, hash };
}
