// Checks the evidence of a chaos run against every invariant.
import { checkCalls } from "./check-calls.ts";
import { checkClocks } from "./check-clocks.ts";
import { checkRecords } from "./check-records.ts";
import { checkRemains } from "./check-remains.ts";
import { checkRooms } from "./check-rooms.ts";
import { checkSessions } from "./check-sessions.ts";
import { checkTasks } from "./check-tasks.ts";
import type { Evidence, Violation } from "./evidence.ts";
import { readEvidence } from "./read-evidence.ts";

/** @returns the violations in the order of invariants */
export function checkEvidence(evidence: Evidence): Violation[] {
  const read = readEvidence(evidence);
  return [
    ...checkSessions(read),
    ...checkRecords(read),
    ...checkRooms(read),
    ...checkRemains(read),
    ...checkClocks(read),
    ...checkTasks(read.evidence),
    ...checkCalls(read),
  ].sort((a, b) => a.invariant - b.invariant);
}
