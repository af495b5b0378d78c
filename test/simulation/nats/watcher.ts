// A watcher of a bucket of the memory server, which may be notified late or miss superseded revisions.

import type { StoredValue } from "../../../libs/bus/compare-and-set.ts";
import type { Clock } from "../../../libs/runtime/clock.ts";
import type { Link } from "./connection.ts";
import type { Fates } from "./faults.ts";

/** One write. `data` is undefined for a deletion. */
export interface Revision extends StoredValue {
  readonly key: string;
  /** The time of the write on the server's monotonic clock. */
  readonly atMs: number;
  /** Set for a value with a time to live of its own. */
  readonly expiresAtMs?: number;
}

/**
 * Sends one client the revisions of a bucket: each key's in order, and always its newest.
 *
 * The server decides at sending time which revisions it sends; the hop is added to that. A client that was cut
 * off continues where it stopped, like an ordered consumer of JetStream.
 */
export class Watcher {
  readonly #log: readonly Revision[];
  readonly #link: Link;
  readonly #clock: Clock;
  readonly #fates: Fates;
  readonly #see: (revision: Revision) => void;
  readonly #isSuperseded: (revision: Revision) => boolean;
  /** Revisions up to this one were sent or skipped. */
  #sentUpTo: number;
  #isBusy = false;
  #isStopped = false;
  readonly #forgetBack: () => void;

  constructor(
    log: readonly Revision[],
    link: Link,
    clock: Clock,
    fates: Fates,
    see: (revision: Revision) => void,
    isSuperseded: (revision: Revision) => boolean,
  ) {
    this.#log = log;
    this.#link = link;
    this.#clock = clock;
    this.#fates = fates;
    this.#see = see;
    this.#isSuperseded = isSuperseded;
    this.#sentUpTo = log.length;
    this.#forgetBack = link.whenBack(() => this.wake());
  }

  stop(): void {
    this.#isStopped = true;
    this.#forgetBack();
  }

  wake(): void {
    if (this.#isBusy || this.#isStopped || this.#sentUpTo >= this.#log.length) return;
    if (this.#fates.faults().leaderless) return;
    this.#isBusy = true;
    if (this.#fates.strikes("stale"))
      this.#clock.after(this.#fates.between(0, this.#fates.faults().staleMs), () => this.#send());
    else this.#send();
  }

  #send(): void {
    const from = this.#sentUpTo;
    const lost = () => {
      // Sent again when the client is back.
      this.#isBusy = false;
    };
    this.#link.deliver(() => {
      const upTo = this.#log.length;
      for (let index = from; index < upTo && !this.#isStopped; index++) {
        const revision = this.#log[index] as Revision;
        if (this.#isSuperseded(revision) && this.#fates.strikes("skip")) continue;
        this.#see(revision);
      }
      this.#sentUpTo = upTo;
      this.#isBusy = false;
      this.wake();
    }, lost);
  }
}
