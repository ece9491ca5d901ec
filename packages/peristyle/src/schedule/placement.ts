/**
 * Where work runs: on the caller's own thread, or on all lanes.
 *
 * A round trip to workers costs tens of microseconds, so what takes less is run in place, and what takes longer is tried
 * both ways. Books are kept for each *wave* (the systems that were ready together), as time by row of either way; the
 * faster is taken, and the other tried again ever more seldom while it loses.
 *
 * # Rules
 * - Results never depend on it: ranges are the same wherever they run.
 */

/** Milliseconds below which a wave is never given to workers: less than it takes to wake one. */
const SMALL_MS = 0.05;
/** Rows below which work whose cost is unknown is tried in place first. */
const SMALL_ROWS = 8_192;
/** How much of the newest measure goes into a book. */
const NEWEST = 0.3;
/** The other way is tried again after this many waves at first, and after this many at last. */
const RETRY_MIN = 32;
const RETRY_MAX = 2_048;

/** Where a wave runs. */
export type Place = "caller" | "any";

interface Book {
  /** Milliseconds by row, or by wave if it has no rows; NaN if unknown. */
  caller: number;
  any: number;
  /** Waves until the other way is tried. */
  wait: number;
  /** How long it is waited next. */
  pause: number;
}

/** Measures waves, and says where they run. */
export class Placement {
  readonly #books = new Map<number, Book>();

  /** Says where a wave runs. `key` is the same for the same systems. */
  choose(key: number, rows: number): Place {
    const book = this.#books.get(key);
    const units = Math.max(rows, 1);
    if (!book) return rows <= SMALL_ROWS ? "caller" : "any";
    const caller = book.caller * units;
    if (caller < SMALL_MS) return "caller";
    if (Number.isNaN(book.any)) return "any";
    if (Number.isNaN(book.caller)) return "caller";
    const better: Place = book.caller <= book.any ? "caller" : "any";
    if (--book.wait > 0) return better;
    book.pause = Math.min(book.pause * 2, RETRY_MAX);
    book.wait = book.pause;
    return better === "caller" ? "any" : "caller";
  }

  /** Takes note of how long a wave took. */
  measured(key: number, place: Place, rows: number, ms: number): void {
    let book = this.#books.get(key);
    if (!book) this.#books.set(key, (book = { caller: NaN, any: NaN, wait: RETRY_MIN, pause: RETRY_MIN }));
    const cost = ms / Math.max(rows, 1);
    const known = book[place];
    // The first measure has modules and optimisation in it, so the second replaces more of it than later ones do.
    book[place] = Number.isNaN(known) ? cost : known + (cost - known) * (cost < known ? 0.7 : NEWEST);
  }
}
