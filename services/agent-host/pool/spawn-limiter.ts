// At most so many agents are being started at once on a host; the others wait their turn.

export class SpawnLimiter {
  readonly #limit: number;
  #inside = 0;
  readonly #queue: (() => void)[] = [];

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Calls `enter` when there is a place. The answer gives the place back, or the turn if it hasn't come. */
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
      const was = state;
      state = "left";
      if (was === "inside") this.#next();
    };
  }

  /** Hands the place that became free to the next in the queue. */
  #next(): void {
    const next = this.#queue.shift();
    if (next === undefined) this.#inside -= 1;
    else next();
  }
}
