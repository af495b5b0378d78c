// Providers of agents and phone calls, and the records of their launches.
import { z } from "zod";
import { attemptFields, ProfileName } from "../ids.ts";

/**
 * `pool`: the fleet's own warm agents. `livekit`: a worker that LiveKit's agent dispatch finds. `webhook`: an external
 * agent runner, reached by HTTP. `vapi`: VAPI makes the call and brings the agent. `sip`: a warm agent of the pool, and
 * a phone call into its room through LiveKit SIP.
 */
export const ProviderName = z.enum(["pool", "livekit", "webhook", "vapi", "sip"]);
export type ProviderName = z.infer<typeof ProviderName>;

/** Providers that bring their own agent. The dispatcher assigns their sessions to the providers service. */
export const externalProviders = ["livekit", "webhook", "vapi"] as const;
export type ExternalProvider = (typeof externalProviders)[number];

export const isExternal = (provider: ProviderName | undefined): provider is ExternalProvider =>
  externalProviders.some((external) => external === provider);

/**
 * The host id in records of sessions that an external provider serves. Every instance of the providers service answers
 * for it. Its epoch never changes, because any instance can take over a dead one's launches.
 */
export const providerHostOf = (provider: ExternalProvider): string => `provider-${provider}`;
export const PROVIDER_EPOCH = 1;

/** Whether a record's host is a provider. Providers are not pinged and have no host record. */
export const isProviderHost = (host: string | undefined): boolean =>
  externalProviders.some((provider) => providerHostOf(provider) === host);

/** A phone number in E.164, or the user part of a SIP address, for example "sales" or "1001". */
export const PhoneNumber = z
  .string()
  .regex(
    /^(\+[1-9]\d{5,14}|[A-Za-z0-9][A-Za-z0-9_.-]{0,63})$/,
    "A number has the form +15550100 or is a SIP user name",
  );

/**
 * The callee's identity in the room, for calls through LiveKit SIP. A session has one call, so the identity does not
 * depend on the attempt.
 */
export const calleeIdentityOf = (sessionId: string): string => `phone-${sessionId}`;

/** The longest that any carrier lets a phone ring, in ms. Limits on waiting for an answer must not be shorter. */
export const RINGING_MAX_MS = 180_000;

/** The phone call that a session is created for, as requested. */
export const ConnectedCall = z.object({
  to: PhoneNumber,
  from: PhoneNumber.optional(),
  /** The task behind the call, and the number of its attempt. */
  task: z.string().optional(),
  taskAttempt: z.number().int().positive().optional(),
});
export type ConnectedCall = z.infer<typeof ConnectedCall>;

/** Progress of a phone call. `unknown`: whether the number was dialed can no longer be determined. */
export const CallStatus = z.enum([
  "dialing",
  "ringing",
  "answered",
  "busy",
  "noAnswer",
  "voicemail",
  "failed",
  "hungUp",
  "unknown",
]);
export type CallStatus = z.infer<typeof CallStatus>;

/** Progress of the call, separate from the session's state: an agent may be ready long before anybody answers. */
export const CallProgress = z.object({
  status: CallStatus,
  /** From the carrier: a SIP status, for example 486, or VAPI's endedReason. */
  sipCode: z.number().int().optional(),
  providerReason: z.string().max(240).optional(),
  answeredBy: z.enum(["human", "machine", "unknown"]).optional(),
  /** Set if the call failed and every retry would fail too, for example because the number does not exist. */
  permanent: z.literal(true).optional(),
  /** Set if Greenroom hung up before anybody answered. */
  unanswered: z.literal(true).optional(),
});
export type CallProgress = z.infer<typeof CallProgress>;

/**
 * One launch. The providers service persists it by compare-and-set before it contacts the provider. After a crash, the
 * outcome can be looked up and the provider is never contacted twice.
 */
export const LaunchRecord = z.object({
  v: z.literal(1),
  ...attemptFields,
  provider: ProviderName,
  profile: ProfileName,
  room: z.string().optional(),
  /**
   * `intended`: persisted; the provider may or may not have been contacted. `launched`: the provider accepted.
   * `joined`, `ready`: the agent's state. `over`: finished, nothing left to clean up. `unknown`: the outcome can't be
   * determined, and the launch is not repeated.
   */
  state: z.enum(["intended", "launched", "joined", "ready", "over", "unknown"]),
  /** The instance that owns the launch, and how often one took it over. */
  by: z.string(),
  takeovers: z.number().int().nonnegative(),
  /** The provider's id of the dispatch or call. */
  externalId: z.string().max(256).optional(),
  /** The agent's identity in the room, if the provider's agent joins one. */
  identity: z.string().max(256).optional(),
  call: CallProgress.optional(),
  reason: z.string().max(480).optional(),
  /** ISO time, from the clock of the instance that wrote the record. For display only. */
  at: z.string(),
  writeId: z.string(),
});
export type LaunchRecord = z.infer<typeof LaunchRecord>;

/** Why a session waits for a worker of LiveKit's. Health recognizes a provider without workers by it. */
export const NO_WORKER = "LiveKit listed no worker for the dispatch";
