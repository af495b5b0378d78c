// What is kept of a session that is over: its call record, and what the agent itself measured while it served.
import { z } from "zod";
import { attemptFields, HostId, ProfileName, SessionId, Tenant } from "../ids.ts";
import { CallProgress, CallStatus, ConnectedCall, ProviderName } from "../providers/provider.ts";
import { EndedReason, Fault, User, Warmth } from "../sessions/session.ts";
import { Histogram, Latency } from "./histogram.ts";

const count = z.number().int().nonnegative();
const ms = z.number().nonnegative();

/** What one model was used for. A field that stayed at nothing is left out. */
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

/** So many different ones are told apart; what comes after them is counted together, as "other" (models by kind). */
export const TOOLS_MAX = 24;
export const MODELS_MAX = 16;

/** What an agent's sessions measured themselves, added up while they go on. */
export const AgentUsage = z.object({
  /** From the end of what the user said to the first sound of the answer. */
  response: Histogram.optional(),
  /** To the first token of each request to a language model. */
  llm: Histogram.optional(),
  /** From the end of what the user said to its transcript. */
  stt: Histogram.optional(),
  /** To the first sound of each synthesis. */
  tts: Histogram.optional(),
  /** From the user's silence to the decision that it is the agent's turn. */
  endOfTurn: Histogram.optional(),
  vad: z.object({ inferences: count, totalMs: ms }).optional(),
  tools: z.array(ToolUse).max(TOOLS_MAX + 1),
  usage: z.array(ModelUsage).max(MODELS_MAX + 5),
  /** What was said by whom. */
  userTurns: count,
  agentTurns: count,
  /** How often the user cut the agent short. */
  interruptions: count,
  /** Failures of a model that the session told of, also those that it got over. */
  errors: count,
});
export type AgentUsage = z.infer<typeof AgentUsage>;

/** What a host says of one attempt that it served, while it goes on and when it is over. */
export const UsageReport = z.object({
  v: z.literal(1),
  ...attemptFields,
  profile: ProfileName,
  host: HostId,
  warm: Warmth,
  /** From the host's acceptance, on its monotonic clock. */
  joinMs: ms.optional(),
  readyMs: ms.optional(),
  /** From ready to the end, or to now. */
  servedMs: ms,
  /** How the attempt came to its end; absent while it goes on. */
  ended: z.enum(["released", "ended", "lost"]).optional(),
  reason: z.string().max(240).optional(),
  /** Absent for an agent without any AgentSession, and when its process died before it told any. */
  usage: AgentUsage.optional(),
  /** ISO time on the host's clock; for people. */
  at: z.string(),
});
export type UsageReport = z.infer<typeof UsageReport>;

/**
 * `completed`: they talked, and it ended in order. `abandoned`: the user left or never came before they could.
 * `unanswered`: a telephone call that nobody took. `failed`: an agent, a provider or the platform did.
 */
export const CallOutcome = z.enum(["completed", "abandoned", "unanswered", "failed"]);
export type CallOutcome = z.infer<typeof CallOutcome>;

export const CallAttempt = z.object({
  attempt: z.number().int().positive(),
  host: z.string().optional(),
  warm: Warmth.optional(),
  joinMs: ms.optional(),
  readyMs: ms.optional(),
  servedMs: ms.optional(),
  /** Why it came to its end. */
  ended: z.string().max(240).optional(),
});
export type CallAttempt = z.infer<typeof CallAttempt>;

/** What the call's agents measured, of all attempts together. */
export const CallMetrics = z.object({
  /** How long they talked: from the first ready to the end. */
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

/** How the telephone call of a session went. */
export const PhoneCall = ConnectedCall.extend({
  status: CallStatus.optional(),
  unanswered: CallProgress.shape.unanswered,
  sipCode: z.number().int().optional(),
  answeredBy: z.enum(["human", "machine", "unknown"]).optional(),
  reason: z.string().max(240).optional(),
});
export type PhoneCall = z.infer<typeof PhoneCall>;

/** One ended session. Made of its record and its reports alone, so that it can be made again. */
export const CallRecord = z.object({
  v: z.literal(1),
  tenant: Tenant,
  sessionId: SessionId,
  profile: ProfileName,
  provider: ProviderName,
  user: User,
  room: z.string(),
  phoneCall: PhoneCall.optional(),
  /** ISO times on the clocks of who spoke. */
  startedAt: z.iso.datetime(),
  answeredAt: z.iso.datetime().optional(),
  endedAt: z.iso.datetime(),
  outcome: CallOutcome,
  endedReason: EndedReason,
  fault: Fault,
  /** The last words of the record about its end. */
  reason: z.string().optional(),
  /** An agent became ready, and where there is a telephone, somebody answered it. */
  answered: z.boolean(),
  /** From the request to the first ready. */
  startMs: ms.optional(),
  /** Whether the first agent that got ready was prewarmed. */
  warm: Warmth.optional(),
  /** How often another agent took over a conversation that had begun, and why the last time. */
  failovers: count,
  failoverReason: z.string().optional(),
  failures: count,
  /** How long it was in each state, all attempts together; by the clocks of who spoke. */
  stateMs: z.object({ requested: ms, dispatched: ms, joined: ms, ready: ms }),
  /** How many tries there were; of very many only the newest are listed. */
  attemptCount: count,
  attempts: z.array(CallAttempt),
  metrics: CallMetrics,
});
export type CallRecord = z.infer<typeof CallRecord>;

/** 2026-01-31T… is 20260131: a day in a subject or a key. */
export const dayOf = (isoTime: string): string => isoTime.slice(0, 10).replaceAll("-", "");

export const callSubject = (tenant: string, day: string, sessionId: string): string =>
  `call.${tenant}.${day}.${sessionId}`;

/** Says that a calls service has run here. */
export const CallRecording = z.object({
  v: z.literal(1),
  /** ISO time on the clock of the instance that wrote it; for people. */
  at: z.string(),
  by: z.string(),
});
export type CallRecording = z.infer<typeof CallRecording>;
export const CALL_RECORDING_KEY = "calls";
