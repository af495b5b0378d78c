// HTTP requests and answers about call records: lists, exports and key figures.
import { z } from "zod";
import { ProfileName } from "../ids.ts";
import { EndedReason, Fault } from "../sessions/session.ts";
import { CallOutcome, CallRecord } from "./call.ts";
import { Latency } from "./histogram.ts";

const count = z.int().nonnegative();

const Day = z.iso.date();
const When = z
  .union([Day, z.iso.datetime({ offset: true })])
  .describe("A day as 2026-01-31, in UTC, or a time as 2026-01-31T08:00:00Z.");

const range = {
  from: When.optional().describe(
    "The first day, or the earliest end of a call. Default: six days before `to`.",
  ),
  to: When.optional().describe("The last day, itself included, or a time that is not. Default: today."),
};
const filter = {
  profile: ProfileName.optional(),
  outcome: CallOutcome.optional(),
};

export const CallsQuery = z.strictObject({
  ...range,
  ...filter,
  limit: z.coerce.number().int().min(1).max(200).default(50),
  cursor: z.string().max(64).optional().describe("`nextCursor` of the page before."),
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
      .describe("Null: there are no more. A page may hold fewer than `limit`."),
  })
  .meta({ id: "Calls" });

export const CallAnswer = z.object({ success: z.literal(true), ...Call.shape }).meta({ id: "CallAnswer" });

export const ExportQuery = z.strictObject({
  ...range,
  ...filter,
  format: z
    .enum(["csv", "ndjson"])
    .optional()
    .describe("Default: what `Accept` asks for (text/csv or application/x-ndjson), else csv."),
});
export type ExportQuery = z.infer<typeof ExportQuery>;

const share = z.number().min(0).max(1).nullable();

export const KpiFigures = z
  .object({
    calls: count,
    answered: count.describe("Calls with an agent that got ready, and a telephone that was answered."),
    completed: count,
    successRate: share.describe("Of all calls; null when there was none."),
    warmHitRate: share.describe("Of the calls that got an agent: its first one was prewarmed."),
    failovers: count,
    callsWithFailover: count.describe("Calls that were handed over at least once."),
    startMs: Latency.nullable().describe("From the request to the first ready."),
    durationMs: Latency.nullable().describe("How long they talked."),
    responseMs: Latency.nullable().describe(
      "Of each call its median, from the user's silence to the answer.",
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
      .describe("Days without calls are left out."),
    profiles: z.record(z.string(), KpiFigures).describe("Of all the days together."),
    total: KpiFigures,
  })
  .meta({ id: "Kpis", description: "Percentiles are at most 2 % off; everything else is exact." });
