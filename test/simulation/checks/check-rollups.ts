// 12: the roll-ups that stand are what the records give when they are counted anew.
import { rollups } from "../../../libs/contracts/buckets.ts";
import type { SessionRecord } from "../../../libs/contracts/sessions/session.ts";
import type { World } from "../world.ts";

/** What is counted here without the janitor's own code. */
interface Count {
  sessions: number;
  attempts: number;
  readonly byReason: Record<string, number>;
  readonly byWarmth: Record<string, number>;
}

export function checkRollups(world: World): void {
  // The comparison of wall clocks leaves roll-ups out, since they are made by the minutes of those clocks.
  if (world.options.clocks !== undefined) return;
  const wanted = countAnew(world.records());
  for (const { key, value } of world.server.entries(rollups)) {
    const { sessions, attempts, byReason, byWarmth } = value;
    const stands = textOf({ sessions, attempts, byReason, byWarmth });
    const counted = wanted.get(key);
    wanted.delete(key);
    const is = counted === undefined ? "nothing" : textOf(counted);
    if (is !== stands)
      world.trace.violation(12, `the roll-up ${key} says ${stands}, and the records give ${is}`);
  }
  for (const [key, count] of wanted)
    world.trace.violation(12, `there is no roll-up ${key}, and the records give ${textOf(count)}`);
}

function countAnew(records: readonly SessionRecord[]): Map<string, Count> {
  const counts = new Map<string, Count>();
  for (const { tenant, profile, attempt, state, endedReason, warm, history } of records) {
    if (state !== "ended") continue;
    const minute = (history.at(-1)?.at ?? "").slice(0, 16).replace(/[^0-9]/g, "");
    const key = `${tenant}.${profile}.${minute}`;
    const count = counts.get(key) ?? { sessions: 0, attempts: 0, byReason: {}, byWarmth: {} };
    counts.set(key, count);
    count.sessions += 1;
    count.attempts += attempt;
    addOne(count.byReason, endedReason ?? "unknown");
    addOne(count.byWarmth, warm ?? "none");
  }
  return counts;
}

const addOne = (counts: Record<string, number>, what: string): void => {
  counts[what] = (counts[what] ?? 0) + 1;
};

const sorted = (counts: Record<string, number>) =>
  Object.entries(counts).sort(([a], [b]) => a.localeCompare(b));

const textOf = ({ sessions, attempts, byReason, byWarmth }: Count): string =>
  JSON.stringify({ sessions, attempts, byReason: sorted(byReason), byWarmth: sorted(byWarmth) });
