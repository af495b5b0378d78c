// What simulated runs contained: a schedule in which nothing happened would hold every invariant.
import type { SessionRecord } from "../../libs/contracts/session.ts";

export class Coverage {
  readonly counts = new Map<string, number>();

  count(what: string, times = 1): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + times);
  }

  /** Adds what another run contained. */
  add(counts: Iterable<readonly [string, number]>, prefix = ""): void {
    for (const [what, times] of counts) this.count(prefix + what, times);
  }

  /** Counts one session's life, from one saved revision to the next. */
  session(revisions: readonly SessionRecord[]): void {
    this.count("sessions");
    const last = revisions.at(-1);
    if (last === undefined) return;
    this.count("attempts", last.attempt);
    this.count(`ended: ${last.endedReason ?? "not"}`);
    if (last.warm !== undefined) this.count(`agent: ${last.warm}`);
    let before = "nothing";
    let wasReady = 0;
    for (const { state, attempt } of last.history) {
      this.count(`step: ${before} to ${state}`);
      before = state;
      if (state === "ready" && attempt > wasReady) {
        if (wasReady > 0) this.count("ready again after another attempt was");
        wasReady = attempt;
      }
    }
  }
}
