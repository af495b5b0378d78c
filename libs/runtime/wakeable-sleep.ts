// A sleep that can be interrupted, for loops that wait for work but also check at intervals.
import type { Clock } from "./clock.ts";

export class WakeableSleep {
  readonly #clock: Clock;
  #isAwake = false;
  #end = () => {};

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Ends the present sleep. Without one, ends the next sleep immediately. */
  wake(): void {
    this.#isAwake = true;
    this.#end();
  }

  /** Returns after a `wake`, also one before the call, or after `ms`. */
  async sleep(ms: number): Promise<void> {
    if (!this.#isAwake) {
      await new Promise<void>((resolve) => {
        const cancel = this.#clock.after(ms, resolve);
        this.#end = () => {
          cancel();
          resolve();
        };
      });
    }
    this.#isAwake = false;
  }
}
