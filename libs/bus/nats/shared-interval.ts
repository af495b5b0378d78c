// A timer that many periodic checks share, so that an idle process wakes once per interval.

export class SharedInterval {
  readonly #ms: number;
  readonly #calls = new Set<() => void>();
  #timer: NodeJS.Timeout | undefined;

  constructor(ms: number) {
    this.#ms = ms;
  }

  /** @returns a function that ends the calls */
  add(call: () => void): () => void {
    this.#calls.add(call);
    this.#timer ??= setInterval(() => {
      for (const each of [...this.#calls]) each();
    }, this.#ms);
    return () => {
      this.#calls.delete(call);
      if (this.#calls.size > 0) return;
      clearInterval(this.#timer);
      this.#timer = undefined;
    };
  }
}
