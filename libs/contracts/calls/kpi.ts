// How the calls of a day went, by tenant and profile.
import { z } from "zod";
import { ProfileName, Tenant } from "../ids.ts";
import { EndedReason, Fault } from "../sessions/session.ts";
import { CallOutcome } from "./call.ts";
import { Histogram } from "./histogram.ts";

const count = z.number().int().nonnegative();

/** What is counted of calls; two of them can be added up. */
export const KpiSums = z.object({
  calls: count,
  answered: count,
  completed: count,
  /** Calls whose first agent was prewarmed, of those that got one at all. */
  warmHits: count,
  gotAgent: count,
  failovers: count,
  /** Calls that were handed over at least once. */
  callsWithFailover: count,
  toolCalls: count,
  toolErrors: count,
  toolExecutionMs: z.number().nonnegative(),
  inputTokens: count,
  outputTokens: count,
  outcomes: z.partialRecord(CallOutcome, count),
  reasons: z.partialRecord(EndedReason, count),
  faults: z.partialRecord(Fault, count),
  start: Histogram,
  duration: Histogram,
  /** Of each call its own median. */
  response: Histogram,
});
export type KpiSums = z.infer<typeof KpiSums>;

/** One day of one profile. Made of call records alone. */
export const DailyKpi = KpiSums.extend({
  v: z.literal(1),
  tenant: Tenant,
  profile: ProfileName,
  /** In UTC, as 20260131. */
  day: z.string().regex(/^\d{8}$/),
});
export type DailyKpi = z.infer<typeof DailyKpi>;

export const kpiKey = (tenant: string, day: string, profile: string): string => `${tenant}.${day}.${profile}`;
