// Key figures of calls, by day, tenant and profile.
import { z } from "zod";
import { ProfileName, Tenant } from "../ids.ts";
import { EndedReason, Fault } from "../sessions/session.ts";
import { CallOutcome } from "./call.ts";
import { Histogram } from "./histogram.ts";

const count = z.number().int().nonnegative();

/** Sums over calls. Two of them can be added. */
export const KpiSums = z.object({
  calls: count,
  answered: count,
  completed: count,
  /** Calls whose first agent was prewarmed, out of `gotAgent`: the calls that had an agent. */
  warmHits: count,
  gotAgent: count,
  failovers: count,
  /** Calls with at least one failover. */
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
  /** Each call's median. */
  response: Histogram,
});
export type KpiSums = z.infer<typeof KpiSums>;

/** One day of one profile. Computed from call records only. */
export const DailyKpi = KpiSums.extend({
  v: z.literal(1),
  tenant: Tenant,
  profile: ProfileName,
  /** In UTC, for example 20260131. */
  day: z.string().regex(/^\d{8}$/),
});
export type DailyKpi = z.infer<typeof DailyKpi>;

export const kpiKey = (tenant: string, day: string, profile: string): string => `${tenant}.${day}.${profile}`;
