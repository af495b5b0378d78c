// Call records of ended sessions, and the usage reports that they are built from.
import { z } from "zod";
import { AgentVersion, attemptFields, HostId, ProfileName, SessionId, Tenant } from "../ids.ts";
import { CallProgress, CallStatus, ConnectedCall, ProviderName } from "../providers/provider.ts";
import { EndedReason, Fault, User, Warmth } from "../sessions/session.ts";
import { Histogram, Latency } from "./histogram.ts";

const count = z.number().int().nonnegative();
const ms = z.number().nonnegative();

/** Usage of one model. Fields that are zero are omitted. */
export const ModelUsage = z.object({
  kind: z.enum(["llm", "stt", "tts", "turn", "interruption"]),
  provider: z.string().max(128),
  model: z.string().max(128),
  inputTokens: count.optional(),
  inputCachedTokens: count.optional(),
  inputAudioTokens: count.optional(),
  outputTokens: count.optional(),
  outputAudioTokens: count.optional(),
  characters: count.optional(),
  audioMs: ms.optional(),
  requests: count.optional(),
});
export type ModelUsage = z.infer<typeof ModelUsage>;

export const ToolUse = z.object({
  name: z.string().max(128),
  calls: count,
  errors: count,
  totalMs: ms,
  maxMs: ms,
});
export type ToolUse = z.infer<typeof ToolUse>;

/** The number of tools and models that are counted separately. The rest is counted as "other" (models: one per kind). */
export const TOOLS_MAX = 24;
export const MODELS_MAX = 16;

/** Measurements of an agent's sessions, updated while they run. */
export const AgentUsage = z.object({
  /** From the end of the user's speech to the first sound of the answer. */
  response: Histogram.optional(),
  /** Time to the first token of each request to a language model. */
  llm: Histogram.optional(),
  /** From the end of the user's speech to its transcript. */
  stt: Histogram.optional(),
  /** Time to the first sound of each synthesis. */
  tts: Histogram.optional(),
  /** From the user's silence to the decision that the agent may answer. */
  endOfTurn: Histogram.optional(),
  vad: z.object({ inferences: count, totalMs: ms }).optional(),
  tools: z.array(ToolUse).max(TOOLS_MAX + 1),
  usage: z.array(ModelUsage).max(MODELS_MAX + 5),
  /** Number of utterances of each side. */
  userTurns: count,
  agentTurns: count,
  /** How often the user interrupted the agent. */
  interruptions: count,
  /** Model errors that the session reported, recovered ones included. */
  errors: count,
});
export type AgentUsage = z.infer<typeof AgentUsage>;

/** A host's report about one attempt, updated until the attempt ends. */
export const UsageReport = z.object({
  v: z.literal(1),
  ...attemptFields,
  profile: ProfileName,
  host: HostId,
  warm: Warmth,
  /** Since the host accepted the session, on its monotonic clock. */
  joinMs: ms.optional(),
  readyMs: ms.optional(),
  /** From ready to the end, or until now. */
  servedMs: ms,
  /** Absent while the attempt runs. */
  ended: z.enum(["released", "ended", "lost"]).optional(),
  reason: z.string().max(240).optional(),
  /** Absent if the agent started no AgentSession, or its process died before the first report. */
  usage: AgentUsage.optional(),
  /** ISO time, from the clock of the host. For display only. */
  at: z.string(),
});
export type UsageReport = z.infer<typeof UsageReport>;

/**
 * `completed`: a conversation that ended normally. `abandoned`: the user left before it began, or never came.
 * `unanswered`: a phone call that nobody answered. `failed`: an agent, a provider or the platform failed.
 */
export const CallOutcome = z.enum(["completed", "abandoned", "unanswered", "failed"]);
export type CallOutcome = z.infer<typeof CallOutcome>;

export const CallAttempt = z.object({
  attempt: z.number().int().positive(),
  host: z.string().optional(),
  version: AgentVersion.optional(),
  warm: Warmth.optional(),
  joinMs: ms.optional(),
  readyMs: ms.optional(),
  servedMs: ms.optional(),
  /** Why the attempt ended. */
  ended: z.string().max(240).optional(),
});
export type CallAttempt = z.infer<typeof CallAttempt>;

/** Measurements of all attempts of a call together. */
export const CallMetrics = z.object({
  /** Length of the conversation: from the first ready to the end. */
  durationMs: ms,
  toolCalls: count,
  toolErrors: count,
  toolExecutionMs: ms,
  tools: z.array(ToolUse),
  userTurns: count,
  agentTurns: count,
  interruptions: count,
  modelErrors: count,
  response: Latency.optional(),
  llm: Latency.optional(),
  stt: Latency.optional(),
  tts: Latency.optional(),
  endOfTurn: Latency.optional(),
  vad: z.object({ inferences: count, totalMs: ms }).optional(),
  inputTokens: count,
  outputTokens: count,
  characters: count,
  heardMs: ms,
  spokenMs: ms,
  usage: z.array(ModelUsage),
});
export type CallMetrics = z.infer<typeof CallMetrics>;

/** The phone call of a session. */
export const PhoneCall = ConnectedCall.extend({
  status: CallStatus.optional(),
  unanswered: CallProgress.shape.unanswered,
  sipCode: z.number().int().optional(),
  answeredBy: z.enum(["human", "machine", "unknown"]).optional(),
  reason: z.string().max(240).optional(),
});
export type PhoneCall = z.infer<typeof PhoneCall>;

/** One ended session. Computed from its record and usage reports only, so it can be rebuilt. */
export const CallRecord = z.object({
  v: z.literal(1),
  tenant: Tenant,
  sessionId: SessionId,
  profile: ProfileName,
  provider: ProviderName,
  user: User,
  room: z.string(),
  phoneCall: PhoneCall.optional(),
  /** ISO times, from the clocks of the services that reported the changes. */
  startedAt: z.iso.datetime(),
  answeredAt: z.iso.datetime().optional(),
  endedAt: z.iso.datetime(),
  outcome: CallOutcome,
  endedReason: EndedReason,
  fault: Fault,
  /** The last reason in the record's history. */
  reason: z.string().optional(),
  /** An agent became ready and, if there is a phone call, somebody answered it. */
  answered: z.boolean(),
  /** From the request to the first `ready`. */
  startMs: ms.optional(),
  /** The version of the last agent's code. Absent if no agent joined, or the agents came from another system. */
  version: AgentVersion.optional(),
  /** How warm the first agent was that became ready. */
  warm: Warmth.optional(),
  /** Failovers of a conversation that had begun, and the reason of the last one. */
  failovers: count,
  failoverReason: z.string().optional(),
  failures: count,
  /** Time in each state, all attempts together, by the clocks of the reporting services. */
  stateMs: z.object({ requested: ms, dispatched: ms, joined: ms, ready: ms }),
  /** All attempts; `attempts` may list only the newest. */
  attemptCount: count,
  attempts: z.array(CallAttempt),
  metrics: CallMetrics,
});
export type CallRecord = z.infer<typeof CallRecord>;

/** The day of an ISO time, for subjects and keys: 2026-01-31T… becomes 20260131. */
export const dayOf = (isoTime: string): string => isoTime.slice(0, 10).replaceAll("-", "");

export const callSubject = (tenant: string, day: string, sessionId: string): string =>
  `call.${tenant}.${day}.${sessionId}`;

/** Shows that a calls service has run in this deployment. */
export const CallRecording = z.object({
  v: z.literal(1),
  /** ISO time, from the clock of the instance that wrote it. For display only. */
  at: z.string(),
  by: z.string(),
});
export type CallRecording = z.infer<typeof CallRecording>;
export const CALL_RECORDING_KEY = "calls";
