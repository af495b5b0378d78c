// Polls until a condition holds, and names the condition when it times out.

export interface UntilOptions {
  readonly timeoutMs?: number;
  readonly everyMs?: number;
  /** The condition, as a clause: "timed out after 5000 ms: the pool is warm". */
  readonly what: string | (() => string);
}

/** Returns the first value of `look` that isn't false or undefined. Errors of `look` end the wait. */
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
      throw new Error(`timed out after ${timeoutMs} ms: ${text}`);
    }
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}
