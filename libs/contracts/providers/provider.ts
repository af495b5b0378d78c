// Who else than the fleet's own hosts gives a session its agent or its telephone call, and what came of it.
import { z } from "zod";
import { attemptFields, ProfileName } from "../ids.ts";

/**
 * `pool`: the fleet's own warm agents. `livekit`: a worker that LiveKit's agent dispatch finds. `webhook`: an agent
 * runner elsewhere, asked by HTTP. `vapi`: VAPI makes the call and brings the agent. `sip`: a warm agent of the pool,
 * and a telephone call through LiveKit SIP into its room.
 */
export const ProviderName = z.enum(["pool", "livekit", "webhook", "vapi", "sip"]);
export type ProviderName = z.infer<typeof ProviderName>;

/** These bring their own agent: the providers service is told to launch it, not an agent-host. */
export const externalProviders = ["livekit", "webhook", "vapi"] as const;
export type ExternalProvider = (typeof externalProviders)[number];

export const isExternal = (provider: ProviderName | undefined): provider is ExternalProvider =>
  externalProviders.some((external) => external === provider);

/**
 * Stands in a record where a host's id would. Every instance of the providers service answers for it, and it has one
 * epoch only: what a dead instance left, another takes over.
 */
export const providerHostOf = (provider: ExternalProvider): string => `provider-${provider}`;
export const PROVIDER_EPOCH = 1;

/** The hosts in records that are no agent-hosts: nobody pings them or waits for their announcement. */
export const isProviderHost = (host: string | undefined): boolean =>
  externalProviders.some((provider) => providerHostOf(provider) === host);

/** A telephone number in E.164, or a SIP user part, as "sales" or "1001". */
export const PhoneNumber = z
  .string()
  .regex(
    /^(\+[1-9]\d{5,14}|[A-Za-z0-9][A-Za-z0-9_.-]{0,63})$/,
    "A number is written as +15550100, or is a SIP user name",
  );

/**
 * The identity of the callee of a session in its room, where LiveKit SIP makes the call. A session has one call, so
 * there is one of it however many agents serve the session.
 */
export const calleeIdentityOf = (sessionId: string): string => `phone-${sessionId}`;

/** As long as any carrier lets a telephone ring, in ms: what waits for an answer waits at least so long. */
export const RINGING_MAX_MS = 180_000;

/** The call that a session is made for, as it was asked. */
export const ConnectedCall = z.object({
  to: PhoneNumber,
  from: PhoneNumber.optional(),
  /** The task that asked for it, and which of its tries this is. */
  task: z.string().optional(),
  taskAttempt: z.number().int().positive().optional(),
});
export type ConnectedCall = z.infer<typeof ConnectedCall>;

/** How a telephone call stands. `unknown`: it was or wasn't dialled, and nobody can tell any more. */
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

/** The call's life apart from the session's: an agent may be ready long before anybody answers. */
export const CallProgress = z.object({
  status: CallStatus,
  /** The carrier's own words: a SIP status as 486, or VAPI's endedReason. */
  sipCode: z.number().int().optional(),
  providerReason: z.string().max(240).optional(),
  answeredBy: z.enum(["human", "machine", "unknown"]).optional(),
  /** Set on a call that failed and would only fail again, as to a number that doesn't exist. */
  permanent: z.literal(true).optional(),
  /** Set on a call that was hung up from here before anybody answered. */
  unanswered: z.literal(true).optional(),
});
export type CallProgress = z.infer<typeof CallProgress>;

/**
 * One launch: written before the provider is asked, so that what became of it can be looked up, and so that nobody is
 * asked twice. The providers service writes it, by compare-and-set.
 */
export const LaunchRecord = z.object({
  v: z.literal(1),
  ...attemptFields,
  provider: ProviderName,
  profile: ProfileName,
  room: z.string().optional(),
  /**
   * `intended`: saved, and whether the provider was asked isn't known. `launched`: it said yes. `joined`, `ready`: so
   * the agent stands. `over`: nothing of it is left. `unknown`: it can't be told, and it isn't repeated.
   */
  state: z.enum(["intended", "launched", "joined", "ready", "over", "unknown"]),
  /** Which instance asks, and how often the launch was taken over from one that is gone. */
  by: z.string(),
  takeovers: z.number().int().nonnegative(),
  /** The provider's own id: a dispatch, a call. */
  externalId: z.string().max(256).optional(),
  /** The agent's identity in the room, where it is in one. */
  identity: z.string().max(256).optional(),
  call: CallProgress.optional(),
  reason: z.string().max(480).optional(),
  /** ISO times on the clock of who wrote them; for people. */
  at: z.string(),
  writeId: z.string(),
});
export type LaunchRecord = z.infer<typeof LaunchRecord>;
