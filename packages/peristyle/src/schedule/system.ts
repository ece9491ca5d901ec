/** What a system is: how it is registered, and what is known of it once that was checked. */
import { ScheduleError } from "../errors.js";
import type { CommandBuffer } from "../world/commands.js";
import type { AnyComponent, Component, ComponentType } from "../world/component.js";
import { COLUMN_ARRAYS, type Scalar } from "../world/fields.js";
import type { Query, QuerySpec } from "../world/query.js";
import { Resource, type ResourceKey, type ResourcesBag, type ResourceType } from "../world/resource.js";
import type { World } from "../world/world.js";
import type { GroupShape, JobFunction, JobShape, JobSource } from "../workers/lanes.js";

/** The stages of a frame, in order. Systems of `startup` run in the first frame only. */
export const STAGES = ["startup", "update", "late", "render", "cleanup"] as const;

/** A stage's name. */
export type Stage = (typeof STAGES)[number];

/** What a system is called with. */
export interface SystemContext {
  readonly world: World;
  /** Simulated seconds of this tick. */
  readonly dt: number;
  /** Simulated time of this tick. */
  readonly time: number;
  readonly resources: ResourcesBag;
  /** Records changes that are made when the stage ends. */
  readonly cmd: CommandBuffer;
  readonly stage: Stage;
}

/** What a job reads or writes: components, and resources that lie in columns. */
export type Access = AnyComponent | ResourceType;

/** How columns are lent to a job. The layouts are those of the world: what is given here is only checked. */
export interface ZeroCopyOptions {
  build(world: World): {
    readonly layouts: readonly { readonly cid: number; readonly fields: Readonly<Record<string, string>> }[];
    readonly types?: Readonly<Record<number, AnyComponent>>;
  };
}

/** How a system's work is given to workers. */
export interface OffloadOptions {
  /** A module that exports `handle`, for Node and pages. */
  readonly module?: string | URL;
  /** A module for Node; gets the whole query in one call, unless `split` or `zeroCopy` say otherwise. */
  readonly nodeModule?: string | URL;
  /** One of `browserWorkers` of `initPool`, for pages; as `nodeModule`. */
  readonly browserJobName?: string;
  /**
   * A WebAssembly module that imports the memory and exports `handle(descriptor)`: its URL, or its bytes. Its descriptor has
   * the components of `reads` in their order, then those of `writes`; `extra` is JSON there. It must import a shared memory
   * where the world's is shared, and a plain one where it is not: else its system fails with `job-shared`.
   */
  readonly kernel?: string | URL | BufferSource;
  /** A function of this thread, which is never sent anywhere. */
  readonly handle?: JobFunction;
  /** What the job reads. */
  readonly reads: readonly Access[];
  /** What it writes, or patches; implies reading. */
  readonly writes?: readonly Access[];
  /** What the job sees as `extra`, made in each frame. */
  extra?(ctx: SystemContext): unknown;
  /** Works in place, one call for each range of rows. */
  readonly zeroCopy?: ZeroCopyOptions | true;
  /** Whether it is called for ranges of rows, on all lanes at once, or once for all rows. */
  readonly split?: boolean;
  /** Whether the job may mark rows to be destroyed. */
  readonly despawns?: boolean;
  /** Milliseconds after which its call is ended. */
  readonly deadline?: number;
}

/** How a system is registered. */
export interface SystemOptions {
  /** What it is called: one of a scheduler. */
  readonly name: string;
  /** `update` unless told. */
  readonly stage?: Stage;
  /** Systems of the same stage that it runs before. */
  readonly before?: readonly string[] | string;
  /** Systems of the same stage that it runs after. */
  readonly after?: readonly string[] | string;
  /** Resources that it reads. */
  readonly reads?: readonly (ResourceKey | ResourceType | AnyComponent)[];
  /** Resources that it writes. */
  readonly writes?: readonly (ResourceKey | ResourceType | AnyComponent)[];
  readonly readsComponents?: readonly AnyComponent[];
  readonly writesComponents?: readonly AnyComponent[];
  /** The rows that it works on; those that have all that an offloaded job reads and writes, unless told. */
  readonly query?: QuerySpec | Query | ((world: World) => QuerySpec | Query);
  /** Whether it is passed over in frames in which its query has no rows. */
  readonly skipIfEmpty?: boolean;
  readonly offload?: OffloadOptions;
  /** The system; of one that is offloaded, what runs where no worker can. */
  run?(ctx: SystemContext): unknown;
}

/** Where this runs, as far as systems care. */
export interface Host {
  readonly isPage: boolean;
}

/** A system that was checked. */
export class System {
  readonly name: string;
  readonly stage: Stage;
  readonly before: readonly string[];
  readonly after: readonly string[];
  readonly query: QuerySpec | Query | ((world: World) => QuerySpec | Query) | undefined;
  readonly skipIfEmpty: boolean;
  readonly offload: OffloadOptions | undefined;
  readonly run: ((ctx: SystemContext) => unknown) | undefined;
  readonly reads = new Set<Component>();
  readonly writes = new Set<Component>();
  readonly readsResources = new Set<number>();
  readonly writesResources = new Set<number>();
  readonly resources = new Set<Resource>();
  /** Whether it said anything about what it reaches; who did not runs alone. */
  readonly declared: boolean;
  /**
   * Layouts by component id, where `zeroCopy` was asked for components that have no columns: the job works on columns that
   * are made of their objects, and made objects again.
   */
  readonly layouts = new Map<number, Readonly<Record<string, Scalar>>>();

  constructor(world: World, options: SystemOptions, stages: readonly Stage[]) {
    const { name, stage = "update", offload, run } = options;
    if (typeof name !== "string" || !/^[^\s]+( [^\s]+)*$/.test(name)) {
      const must = "a text without line breaks, and without blanks at its ends";
      throw new ScheduleError("system-name", `a system needs a \`name\`: ${must}; it was given ${JSON.stringify(name)}`);
    }
    if (!stages.includes(stage)) {
      const known = stages.join(", ");
      throw new ScheduleError("stage-unknown", `system \`${name}\`: there is no stage \`${stage}\`; there are ${known}`);
    }
    if (run !== undefined && typeof run !== "function") {
      throw new ScheduleError("system-options", `system \`${name}\`: \`run\` must be a function`);
    }
    if (!offload && !run) throw new ScheduleError("system-options", `system \`${name}\` needs \`run\` or \`offload\``);
    this.name = name;
    this.stage = stage;
    this.before = list(options.before);
    this.after = list(options.after);
    this.query = options.query;
    this.skipIfEmpty = options.skipIfEmpty ?? false;
    this.offload = offload;
    this.run = run && ((ctx) => run.call(options, ctx));
    const { reads = [], writes = [], readsComponents = [], writesComponents = [] } = options;
    for (const what of [...reads, ...readsComponents]) this.#declare(world, what, false);
    for (const what of [...writes, ...writesComponents]) this.#declare(world, what, true);
    if (offload) this.#offloaded(world, offload);
    this.declared =
      offload !== undefined || [reads, writes, readsComponents, writesComponents].some((declared) => declared.length > 0);
  }

  #declare(world: World, what: ResourceKey | ResourceType | AnyComponent, write: boolean): void {
    if (typeof what === "string" || typeof what === "symbol") {
      (write ? this.writesResources : this.readsResources).add(world.resources.number(what));
    } else if (what instanceof Resource) {
      (write ? this.writesResources : this.readsResources).add(what.id);
      this.resources.add(what);
    } else {
      (write ? this.writes : this.reads).add(world.component(what as ComponentType));
    }
  }

  #offloaded(world: World, offload: OffloadOptions): void {
    const wrong = (why: string): never => {
      throw new ScheduleError("system-options", `system \`${this.name}\`: ${why}`);
    };
    if (!Array.isArray(offload.reads)) wrong("`offload.reads` must list what the job reads; it may be empty");
    for (const what of offload.reads) this.#declare(world, what, false);
    for (const what of offload.writes ?? []) this.#declare(world, what, true);
    const { zeroCopy } = offload;
    if (zeroCopy === undefined || zeroCopy === true) return;
    if (typeof zeroCopy.build !== "function") wrong("`offload.zeroCopy` must have a function `build`, or be true");
    for (const { cid, fields } of zeroCopy.build(world).layouts) {
      const component = world.known(cid);
      if (!component) throw new ScheduleError("system-options", `system \`${this.name}\`: no component has the id ${cid}`);
      if (!component.codec) {
        const unknown = Object.entries(fields).find(([, scalar]) => !Object.hasOwn(COLUMN_ARRAYS, scalar));
        if (unknown) wrong(`\`zeroCopy.build\`: unknown scalar \`${unknown[1]}\` of \`${component.name}.${unknown[0]}\``);
        this.layouts.set(cid, fields as Readonly<Record<string, Scalar>>);
        continue;
      }
      for (const [field, scalar] of Object.entries(fields)) {
        const column = component.codec.columns.find((known) => known.name === field);
        if (column?.scalar === scalar) continue;
        const is = column ? `is \`${column.scalar}\`` : "is not there";
        wrong(`\`zeroCopy.build\` says that \`${component.name}.${field}\` is \`${scalar}\`, but it ${is}`);
      }
    }
  }

  /** All components that its job sees. */
  get components(): readonly Component[] {
    return [...new Set([...this.reads, ...this.writes])];
  }

  /** Those of them whose values cross as they are. */
  get objects(): readonly Component[] {
    return this.components.filter(({ codec, id }) => !codec && !this.layouts.has(id));
  }

  /** Which rows it works on; nothing if it has no rows. */
  querySpec(world: World): QuerySpec | undefined {
    const said = typeof this.query === "function" ? this.query(world) : this.query;
    if (said) return said;
    return this.offload ? { all: this.components } : undefined;
  }

  /** How its rows are cut: once, without rows; in ranges; or as a whole. */
  get shape(): "once" | "rows" | "whole" {
    const { offload } = this;
    if (!offload || this.layouts.size > 0) return "once";
    const older = offload.nodeModule !== undefined || offload.browserJobName !== undefined;
    const split = offload.split ?? (offload.zeroCopy !== undefined || !older || offload.module !== undefined);
    return split ? "rows" : "whole";
  }

  /**
   * Where its job's code is on this host; nothing if `run` is all there is. `workers` are the names of a page's own.
   */
  source({ isPage }: Host, workers: ReadonlySet<string>): JobSource | undefined {
    const { offload, name } = this;
    if (!offload) return undefined;
    if (offload.handle) return { kind: "function", name, handle: offload.handle };
    if (offload.kernel !== undefined) {
      return { kind: "kernel", name, module: offload.kernel };
    }
    if (isPage) {
      const worker = offload.browserJobName ?? name;
      if (workers.has(worker)) return { kind: "worker", name: worker };
      if (offload.module !== undefined) return { kind: "module", url: offload.module };
      return undefined;
    }
    const url = offload.nodeModule ?? offload.module;
    return url === undefined ? undefined : { kind: "module", url };
  }

  /** What its job sees. */
  jobShape(): JobShape {
    const { offload } = this;
    const older = offload?.nodeModule !== undefined || offload?.browserJobName !== undefined;
    const components = this.components.map(({ id, name, fields }): GroupShape => {
      return { id, name, fields: fields ?? this.layouts.get(id) };
    });
    const resources = [...this.resources].map(({ id, name, fields }): GroupShape => ({ id, name, fields }));
    const writes = [...this.writes].map(({ id }) => id);
    return { components, resources, writes, inPlace: offload?.zeroCopy !== undefined || !older };
  }

  /** The text by which the core is told of it. `query` is the number of its query. */
  text(query: number | undefined): string {
    const ids = (what: Iterable<{ readonly id: number }>) => Array.from(what, ({ id }) => id).join(" ");
    const line = (key: string, value: string) => (value === "" ? [] : [`${key} ${value}`]);
    const flags = [
      ...(this.declared ? [] : ["exclusive"]),
      ...(this.offload?.despawns ? ["despawns"] : []),
      ...(this.skipIfEmpty ? ["skip-if-empty"] : []),
    ];
    return [
      `name ${this.name}`,
      `stage ${this.stage}`,
      ...this.before.map((name) => `before ${name}`),
      ...this.after.map((name) => `after ${name}`),
      ...line("reads", ids(this.reads)),
      ...line("writes", ids(this.writes)),
      ...line("reads-resources", [...this.readsResources].join(" ")),
      ...line("writes-resources", [...this.writesResources].join(" ")),
      ...line("query", query === undefined ? "" : String(query)),
      `shape ${this.shape}`,
      ...line("flags", flags.join(" ")),
    ].join("\n");
  }
}

function list(names: readonly string[] | string | undefined): readonly string[] {
  return names === undefined ? [] : typeof names === "string" ? [names] : names;
}
