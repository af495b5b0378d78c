// Checks invariant 12: the stored rollups equal a new count of the records.
import { rollups } from "../../../libs/contracts/buckets.ts";
import type { SessionRecord } from "../../../libs/contracts/sessions/session.ts";
import type { World } from "../world.ts";

/** A rollup, computed without the janitor's own code. */
interface Count {
  sessions: number;
  attempts: number;
  readonly byReason: Record<string, number>;
  readonly byWarmth: Record<string, number>;
}

export function checkRollups(world: World): void {
  // The comparison of wall clocks leaves rollups out, since they depend on the minutes of those clocks.
  if (world.options.clocks !== undefined) return;
  const wanted = countRecords(world.records());
  for (const { key, value } of world.server.entries(rollups)) {
    const { sessions, attempts, byReason, byWarmth } = value;
    const found = textOf({ sessions, attempts, byReason, byWarmth });
    const counted = wanted.get(key);
    wanted.delete(key);
    const expected = counted === undefined ? "nothing" : textOf(counted);
    if (expected !== found)
      world.trace.violation(12, `the rollup ${key} contains ${found}, but the records give ${expected}`);
  }
  for (const [key, count] of wanted)
    world.trace.violation(12, `the rollup ${key} is missing, but the records give ${textOf(count)}`);
}

function countRecords(records: readonly SessionRecord[]): Map<string, Count> {
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
