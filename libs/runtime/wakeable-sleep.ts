// A sleep that somebody can end: for loops that work when there is something to do, and look around now and then.
import type { Clock } from "./clock.ts";

export class WakeableSleep {
  readonly #clock: Clock;
  #isWoken = false;
  #end = () => {};

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Ends the sleep, or the next one before it begins. */
  wake(): void {
    this.#isWoken = true;
    this.#end();
  }

  /** Until it is woken, also by what happened just before. @param ms at the most */
  async sleep(ms: number): Promise<void> {
    if (!this.#isWoken) {
      await new Promise<void>((resolve) => {
        const cancel = this.#clock.after(ms, resolve);
        this.#end = () => {
          cancel();
          resolve();
        };
      });
    }
    this.#isWoken = false;
  }
}
