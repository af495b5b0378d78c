// HTTP requests and answers about call records: lists, exports and key figures.
import { z } from "zod";
import { AgentVersion, ProfileName } from "../ids.ts";
import { EndedReason, Fault } from "../sessions/session.ts";
import { CallOutcome, CallRecord } from "./call.ts";
import { Latency } from "./histogram.ts";

const count = z.int().nonnegative();

const Day = z.iso.date();
const When = z
  .union([Day, z.iso.datetime({ offset: true })])
  .describe("A day in UTC (2026-01-31) or a time (2026-01-31T08:00:00Z).");

const range = {
  from: When.optional().describe(
    "The first day, or the earliest end of a call. Default: six days before `to`.",
  ),
  to: When.optional().describe("The last day (inclusive), or a time (exclusive). Default: today."),
};
const filter = {
  profile: ProfileName.optional(),
  outcome: CallOutcome.optional(),
  version: AgentVersion.optional().describe("Version of the last agent's code."),
};

export const CallsQuery = z.strictObject({
  ...range,
  ...filter,
  limit: z.coerce.number().int().min(1).max(200).default(50),
  cursor: z.string().max(64).optional().describe("`nextCursor` of the previous page."),
});
export type CallsQuery = z.infer<typeof CallsQuery>;

export const Call = CallRecord.omit({ v: true, tenant: true }).meta({ id: "Call" });
export type Call = z.infer<typeof Call>;

export const CallsAnswer = z
  .object({
    success: z.literal(true),
    calls: z.array(Call),
    nextCursor: z
      .string()
      .nullable()
      .describe("Null on the last page. A page may contain fewer items than `limit`."),
  })
  .meta({ id: "Calls" });

export const CallAnswer = z.object({ success: z.literal(true), ...Call.shape }).meta({ id: "CallAnswer" });

export const ExportQuery = z.strictObject({
  ...range,
  ...filter,
  format: z
    .enum(["csv", "ndjson"])
    .optional()
    .describe("Default: the type in `Accept` (text/csv or application/x-ndjson), otherwise csv."),
});
export type ExportQuery = z.infer<typeof ExportQuery>;

const share = z.number().min(0).max(1).nullable();

export const KpiFigures = z
  .object({
    calls: count,
    answered: count.describe("Calls whose agent became ready and whose phone, if any, was answered."),
    completed: count,
    successRate: share.describe("Share of all calls; null without calls."),
    warmHitRate: share.describe("Share of the calls with an agent whose first agent was prewarmed."),
    failovers: count,
    callsWithFailover: count.describe("Calls with at least one failover."),
    startMs: Latency.nullable().describe("From the request to the first ready."),
    durationMs: Latency.nullable().describe("Duration of the conversation."),
    responseMs: Latency.nullable().describe(
      "The median of each call, from the user's silence to the agent's answer.",
    ),
    toolCalls: count,
    toolErrors: count,
    toolExecutionMs: z.number(),
    inputTokens: count,
    outputTokens: count,
    outcomes: z.partialRecord(CallOutcome, count),
    reasons: z.partialRecord(EndedReason, count),
    faults: z.partialRecord(Fault, count),
  })
  .meta({ id: "KpiFigures" });
export type KpiFigures = z.infer<typeof KpiFigures>;

export const KpisQuery = z.strictObject({
  from: Day.optional().describe("Default: 29 days before `to`."),
  to: Day.optional().describe("Default: today, in UTC."),
  profile: ProfileName.optional(),
});

export const KpisAnswer = z
  .object({
    success: z.literal(true),
    from: z.string(),
    to: z.string(),
    days: z
      .array(z.object({ day: z.string(), ...KpiFigures.shape }))
      .describe("Days without calls are omitted."),
    profiles: z.record(z.string(), KpiFigures).describe("All days together."),
    total: KpiFigures,
  })
  .meta({ id: "Kpis", description: "Percentiles are at most 2 % off. All other figures are exact." });
