/** What entities are: a kind to draw each in, and how many of them come from and go to each place. */
import type { ViewWorld } from "peristyle/client";
import { NOTHING } from "./points.js";

/** Minutes from which a flight is late, and very late. */
const LATE = 15;
const VERY_LATE = 60;

export class Flights {
  /** By row. */
  kinds = new Uint8Array(1024).fill(NOTHING);
  /** By place: how many in the air leave it or go there. */
  readonly busyness: number[] = [];
  #origins = new Uint16Array(1024);
  #destinations = new Uint16Array(1024);

  /** Takes in what a frame changed. */
  update(view: ViewWorld, isNew: boolean): void {
    if (isNew) {
      this.kinds.fill(NOTHING);
      this.busyness.length = 0;
    }
    this.#grow(view.rows);
    const delay = view.column("Flight", "delay");
    const origin = view.column("Flight", "origin");
    const destination = view.column("Flight", "destination");
    const count = (row: number, by: number): void => {
      if (!origin) return;
      for (const place of [this.#origins[row], this.#destinations[row]]) {
        this.busyness[place] = (this.busyness[place] ?? 0) + by;
      }
    };
    const add = (row: number): void => {
      const minutes = Number(delay?.[row] ?? 0);
      this.kinds[row] = minutes >= VERY_LATE ? 2 : minutes >= LATE ? 1 : 0;
      this.#origins[row] = Number(origin?.[row] ?? 0);
      this.#destinations[row] = Number(destination?.[row] ?? 0);
      count(row, 1);
    };
    if (isNew) {
      const { entities } = view;
      for (let row = 0; row < entities.length; row++) if (entities[row] !== 0) add(row);
      return;
    }
    for (const { row } of view.removed) {
      if (this.kinds[row] === NOTHING) continue;
      this.kinds[row] = NOTHING;
      count(row, -1);
    }
    view.added.forEach(add);
  }

  #grow(rows: number): void {
    if (rows <= this.kinds.length) return;
    const length = Math.ceil(rows * 1.25);
    const kinds = new Uint8Array(length).fill(NOTHING);
    kinds.set(this.kinds);
    this.kinds = kinds;
    const grown = (old: Uint16Array): Uint16Array<ArrayBuffer> => {
      const list = new Uint16Array(length);
      list.set(old);
      return list;
    };
    this.#origins = grown(this.#origins);
    this.#destinations = grown(this.#destinations);
  }
}
