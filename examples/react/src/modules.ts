/** The app: plain classes, which run in the worker. */
import { defineModule } from "peristyle/app";

export class Counter {
  count = 0;
  increase(step = 1): number {
    return (this.count += step);
  }
}
defineModule(Counter, { name: "counter", state: ["count"], actions: ["increase"] });

/** One line of the table. */
export interface Item {
  readonly id: number;
  name: string;
  price: number;
  isSold: boolean;
}

const NAMES = ["amphora", "bench", "column", "door", "eagle", "frieze", "garden", "hinge"];

export class Table {
  items: Item[] = NAMES.map((name, id) => ({ id, name, price: 10 + 7 * id, isSold: false }));

  sell(id: number): void {
    this.#item(id).isSold = true;
  }
  raise(factor: number): void {
    if (!(factor > 0)) throw new RangeError(`prices are raised by a positive factor, not by ${factor}`);
    for (const item of this.items) if (!item.isSold) item.price = Math.round(item.price * factor);
  }
  remove(id: number): void {
    this.items.splice(this.items.indexOf(this.#item(id)), 1);
  }

  #item(id: number): Item {
    const item = this.items.find((item) => item.id === id);
    if (!item) throw new RangeError(`there is no item ${id}`);
    return item;
  }
}
defineModule(Table, { name: "table", state: ["items"], actions: ["sell", "raise", "remove"] });

/** The state, as pages follow it. */
export interface AppState {
  readonly counter: { readonly count: number };
  readonly table: { readonly items: readonly Readonly<Item>[] };
}
