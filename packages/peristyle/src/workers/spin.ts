/**
 * Spinning before waiting. How long is learned: where it leads to nothing (a machine whose cores are all busy, a job
 * that takes its time) it is hardly done at all, because who spins keeps a core from whoever is waited for.
 */

/** Milliseconds at most. A wake-up costs as much. */
const MAX_MS = 0.05;
/** Milliseconds below which it is not tried. */
const MIN_MS = 0.002;
/** Times that it is left out before it is tried again. */
const RETRY = 64;
/** Looks between two readings of the clock. */
const LOOKS = 16;

export class Spin {
  #ms = MAX_MS;
  #skipped = 0;
  #isRetry = false;

  /** Looks again and again whether something is over. Gives whether it is. */
  until(isOver: () => boolean): boolean {
    if (isOver()) return true;
    if (this.#ms < MIN_MS) {
      if (++this.#skipped < RETRY) return false;
      this.#skipped = 0;
      this.#ms = MAX_MS;
      this.#isRetry = true;
    }
    const end = performance.now() + this.#ms;
    do {
      for (let look = 0; look < LOOKS; look++) {
        if (!isOver()) continue;
        this.#ms = Math.min(MAX_MS, this.#ms * 2);
        this.#isRetry = false;
        return true;
      }
    } while (performance.now() < end);
    // One that was tried again in vain is left out again.
    this.#ms = this.#isRetry ? 0 : this.#ms / 2;
    this.#isRetry = false;
    return false;
  }
}
