// Stops trying what keeps failing: three tries with growing pauses, then a long one.

const TRIES = 3;
const FIRST_PAUSE_MS = 500;
/** After this one try is made again: the file may have been mended meanwhile. */
const OPEN_MS = 30_000;

export class CircuitBreaker {
  #failures = 0;
  #lastError: string | undefined;

  /** The error that it is open for; undefined while starts are tried. */
  get openFor(): string | undefined {
    return this.#failures >= TRIES ? this.#lastError : undefined;
  }

  get lastError(): string | undefined {
    return this.#lastError;
  }

  succeeded(): void {
    this.#failures = 0;
    this.#lastError = undefined;
  }

  /** @returns how long to wait before the next try, in ms. */
  failed(error: string): number {
    this.#failures += 1;
    this.#lastError = error;
    return this.#failures >= TRIES ? OPEN_MS : FIRST_PAUSE_MS * 2 ** (this.#failures - 1);
  }
}
