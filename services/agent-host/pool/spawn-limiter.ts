// Limits how many agents start at the same time on a host. The others wait in a queue.

export class SpawnLimiter {
  readonly #limit: number;
  #inside = 0;
  readonly #queue: (() => void)[] = [];

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Calls `enter` when there is a free place. The returned function frees the place, or leaves the queue. */
  pass(enter: () => void): () => void {
    let state: "waiting" | "inside" | "left" = "waiting";
    const go = () => {
      if (state !== "waiting") {
        this.#next();
        return;
      }
      state = "inside";
      enter();
    };
    if (this.#inside < this.#limit) {
      this.#inside += 1;
      go();
    } else {
      this.#queue.push(go);
    }
    return () => {
      const wasInside = state === "inside";
      state = "left";
      if (wasInside) this.#next();
    };
  }

  /** Gives a free place to the next in the queue. */
  #next(): void {
    const next = this.#queue.shift();
    if (next === undefined) this.#inside -= 1;
    else next();
  }
}
