/** Modules of apps in pages: a class by decorators, a class by `defineModule`, and an object. */
import { Action, Module, State, defineModule, type Provider } from "../../src/app/index.js";

@Module({ name: "counter" })
export class Counter {
  @State accessor count = 0;
  @State accessor log: string[] = [];

  @Action increase(step = 1): number {
    this.log.push(`+${step}`);
    return (this.count += step);
  }

  @Action async later(step: number): Promise<number> {
    this.count += step;
    await null;
    return (this.count += step);
  }

  @Action spoil(): never {
    this.count = -1;
    throw new RangeError("spoilt");
  }

  peek(): number {
    return this.count;
  }

  secret(): string {
    return "nobody is told";
  }
}

export class Table {
  rows: { id: number; done: boolean }[] = [];
  fill(count: number): void {
    this.rows = Array.from({ length: count }, (_, id) => ({ id, done: false }));
  }
  toggle(id: number): void {
    const row = this.rows[id];
    if (!row) throw new RangeError(`there is no row ${id}`);
    row.done = !row.done;
  }
}
defineModule(Table, { name: "table", state: ["rows"], actions: ["fill", "toggle"] });

export const clock = defineModule(
  {
    ticks: 0,
    tick() {
      this.ticks++;
    },
  },
  { name: "clock", state: ["ticks"], actions: ["tick"] },
);

export const providers: Provider[] = [Counter, Table, clock];

/** The state that clients follow. */
export interface AppState {
  readonly counter: { readonly count: number; readonly log: readonly string[] };
  readonly table: { readonly rows: readonly { readonly id: number; readonly done: boolean }[] };
  readonly clock: { readonly ticks: number };
}
