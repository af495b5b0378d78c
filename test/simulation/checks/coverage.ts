// Coverage of simulated runs: a run in which nothing happens would hold every invariant.
import type { SessionRecord } from "../../../libs/contracts/sessions/session.ts";
import { sessionMachine } from "../../../libs/domain/session/machine.ts";

export class Coverage {
  readonly counts = new Map<string, number>();

  count(what: string, times = 1): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + times);
  }

  /** Adds the counts of another run. */
  add(counts: Iterable<readonly [string, number]>, prefix = ""): void {
    for (const [what, times] of counts) this.count(prefix + what, times);
  }

  of(what: string): number {
    return this.counts.get(what) ?? 0;
  }

  /** The sum of all counts whose names start with the prefix. */
  all(prefix: string): number {
    return [...this.counts].reduce((sum, [what, times]) => (what.startsWith(prefix) ? sum + times : sum), 0);
  }

  session({ attempt, endedReason, warm, history }: SessionRecord): void {
    this.count("sessions");
    this.count("attempts", attempt);
    this.count(`ended: ${endedReason ?? "not"}`);
    if (warm !== undefined) this.count(`agent: ${warm}`);
    const readyAttempts = new Set(
      history.filter(({ state }) => state === "ready").map((entry) => entry.attempt),
    );
    if (readyAttempts.size > 1) this.count("ready again in another attempt");
  }

  /** Printable lines, the largest count first within each kind. */
  lines(): string[] {
    const kindOf = (what: string) => what.split(":")[0] ?? "";
    return [...this.counts]
      .sort(([a, x], [b, y]) => kindOf(a).localeCompare(kindOf(b)) || y - x)
      .map(([what, times]) => `${String(times).padStart(9)}  ${what}`);
  }
}

/** The coverage name of every transition of the session machine. */
export function movesOfTheMachine(): string[] {
  const { states } = sessionMachine.config;
  const moves = new Set<string>();
  for (const [state, { on = {} }] of Object.entries(states ?? {})) {
    for (const [event, ways] of Object.entries(on as Record<string, unknown>)) {
      for (const way of [ways].flat() as { target: string }[])
        moves.add(`move: ${state} ${event} ${way.target}`);
    }
  }
  return [...moves].sort();
}
