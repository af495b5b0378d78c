// Waits for something to become true, and says what was waited for when it doesn't.

export interface UntilOptions {
  readonly timeoutMs?: number;
  readonly everyMs?: number;
  /** Completes the sentence "It did not happen within 5000 ms that …". */
  readonly what: string | (() => string);
}

/** Looks again and again; answers the first value that isn't false or undefined. What `look` throws is thrown. */
export async function until<T>(
  look: () => Promise<T | false | undefined> | T | false | undefined,
  options: UntilOptions,
): Promise<T> {
  const { timeoutMs = 5000, everyMs = 20, what } = options;
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const value = await look();
    if (value !== false && value !== undefined) return value;
    if (performance.now() > deadline) {
      const text = typeof what === "string" ? what : what();
      throw new Error(`It did not happen within ${timeoutMs} ms that ${text}`);
    }
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}
