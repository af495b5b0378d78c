// HTTP and WebSocket requests and answers about sessions. The OpenAPI document is generated from them.
import { z } from "zod";
import { type ErrorCode, errorTable } from "../errors.ts";
import { LogBatch } from "../fleet/pool.ts";
import { isReservedRoom, ProfileName, RESERVED_PREFIXES, SessionId } from "../ids.ts";
import { ProviderName } from "../providers/provider.ts";
import {
  EndedReason,
  Fault,
  HistoryEntry,
  LargeMetadata,
  SessionRecord,
  SessionState,
  Warmth,
} from "./session.ts";
import { ParticipantAttributes, ParticipantMetadata } from "./stored-text.ts";

/** Text without control characters, which would corrupt logs and headers. */
const text = (what: string, max: number) =>
  z
    .string()
    .max(max, `${what} may be ${max} characters long at most`)
    .regex(/^\P{Cc}*$/u, `${what} may not hold control characters`);

/** Prefix of agents' identities. No user may have one: LiveKit disconnects the older holder of an identity. */
const AGENT_IDENTITY_PREFIX = "agent-";

const UserId = text("A user id", 128)
  .min(1, "A user id may not be empty")
  .refine((id) => !id.startsWith(AGENT_IDENTITY_PREFIX), `A user id may not start with "agent-"`)
  .describe("Id of the user. Also the user's identity in the room.");
const UserName = text("A user name", 128).describe("Name of the user that other participants see.");
const RoomName = text("A room name", 128).min(1, "A room name may not be empty");

/** A coarse state for clients; `state` has the exact one. */
export const SessionStatus = z.enum(["starting", "ready", "ended"]);
export type SessionStatus = z.infer<typeof SessionStatus>;

/** `awaiting_user`: the agent is in the room, and starts once the user joins. */
export const AgentState = z.enum(["awaiting_user", "started"]);
export type AgentState = z.infer<typeof AgentState>;
const agentState = AgentState.nullable().describe(
  "`awaiting_user`: the agent is in the room and starts once the user joins. Null unless the session is `ready`.",
);

export const ErrorBody = z
  .object({
    code: z.enum(Object.keys(errorTable) as [ErrorCode, ...ErrorCode[]]),
    message: z.string().describe("The failure, and how to solve it."),
    retryable: z.boolean(),
    retryAfterMs: z.number().optional(),
    sessionId: z.string().optional(),
    traceId: z.string().describe("Id of the request, also in the gateway's log."),
  })
  .meta({ id: "ErrorBody" });
export type ErrorBody = z.infer<typeof ErrorBody>;

export const ErrorAnswer = z
  .object({ success: z.literal(false), error: ErrorBody })
  .meta({ id: "Error", description: "The shape of every error." });
export type ErrorAnswer = z.infer<typeof ErrorAnswer>;

const QueuePlace = z.object({
  position: z.number().int().describe("1 means next."),
  length: z.number().int(),
});

const DeleteRoom = z
  .boolean()
  .describe(
    "Delete the room at the end, with the people in it. By default the room stays open while somebody is in it.",
  );

export const EndRequest = z.strictObject({ deleteRoom: DeleteRoom.optional() }).meta({ id: "EndRequest" });
export type EndRequest = z.infer<typeof EndRequest>;

export const StartRequest = z
  .strictObject({
    userId: UserId.optional(),
    userName: UserName.optional(),
    profile: ProfileName.optional().describe(
      "Kind of agent. Default: the default profile of the deployment.",
    ),
    provider: z
      .enum(["pool", "livekit", "webhook"])
      .optional()
      .describe(
        "Provider of the agent. Default: the provider of the profile in GREENROOM_PROVIDERS, otherwise the pool.",
      ),
    metadata: LargeMetadata.optional().describe(
      "Passed to the agent as job metadata. At most 512 KiB of JSON.",
    ),
    participantMetadata: ParticipantMetadata.optional().describe(
      "Metadata of the user in the room, in each token that the session gives the user. At most 512 KiB.",
    ),
    participantAttributes: ParticipantAttributes.optional().describe(
      "Attributes of the user in the room, in each token that the session gives the user. At most 64 KiB with their names.",
    ),
    room: RoomName.refine(
      (room) => !isReservedRoom(room),
      `A room name may not start with ${RESERVED_PREFIXES.map((prefix) => `"${prefix}"`).join(" or ")}`,
    )
      .optional()
      .describe("Room to use. By default the agent brings its own room, which is faster."),
    wait: z
      .int()
      .min(0)
      .max(30_000)
      .optional()
      .describe("Maximum time in ms to wait for the agent before the answer is 202."),
    maxDurationMs: z
      .int()
      .min(1000)
      .max(24 * 60 * 60 * 1000)
      .optional()
      .describe("Maximum duration of the conversation in ms."),
    deleteRoom: DeleteRoom.optional(),
  })
  .meta({ id: "StartRequest" });
export type StartRequest = z.infer<typeof StartRequest>;

/** The data that a client needs to join the room. */
const joinFields = {
  url: z.string().describe("Address of LiveKit."),
  token: z.string().describe("The user's room token, valid for minutes."),
  room: z.string(),
  identity: z.string(),
};

const phaseMs = (description: string) => z.int().optional().describe(description);

export const StartupTimings = z
  .object({
    phase: z
      .enum(["dispatch", "queue", "assign", "join", "entry", "ready"])
      .describe(
        "Phase in progress, with its duration so far. `ready` once the agent is ready. The end of `assign` is known once the agent has joined.",
      ),
    dispatchMs: phaseMs("From the request until a dispatcher received it."),
    queueMs: phaseMs("Until a host was chosen. Includes the wait for a free agent and failed attempts."),
    assignMs: phaseMs("Until the host had given the session to an agent."),
    joinMs: phaseMs("Until the agent was in the room."),
    entryMs: phaseMs("Until the agent was ready. Its `entry` runs in this phase."),
    totalMs: z.int().describe("Sum of the phases so far."),
  })
  .meta({ id: "StartupTimings", description: "Duration of each phase of a start in ms." });
export type StartupTimings = z.infer<typeof StartupTimings>;

export const StartAnswer = z
  .object({
    success: z.literal(true),
    sessionId: SessionId,
    status: SessionStatus,
    state: SessionState,
    profile: z.string(),
    provider: ProviderName,
    attempt: z.int(),
    prewarmed: z.boolean().describe("True if the agent was loaded before the session was requested."),
    warm: Warmth.nullable(),
    agentState,
    message: z.string(),
    latencyMs: z.number().describe("Time in ms that the gateway needed for this answer."),
    startupTime: z.number().nullable().describe("Seconds from the request to ready. Null before."),
    startupTimings: StartupTimings,
    estimatedWait: z.string().optional().describe('Derived from recent starts, for example "1-2s".'),
    estimatedWaitMs: z.number().optional(),
    queue: QueuePlace.optional().describe("Present while the session waits for capacity."),
    endedReason: EndedReason.optional(),
    ...z.object(joinFields).partial().shape,
  })
  .meta({ id: "StartAnswer" });
export type StartAnswer = z.infer<typeof StartAnswer>;

export const SessionSummary = z
  .object({
    sessionId: SessionId,
    status: SessionStatus,
    state: SessionState,
    userId: z.string(),
    userName: z.string(),
    profile: z.string(),
    provider: ProviderName.describe("Provider of the agent. `pool` means the hosts of this deployment."),
    createdAt: z.int().describe("Seconds since 1970."),
    startupTime: z.number().nullable().describe("Seconds from the request to the first ready."),
    prewarmed: z.boolean(),
    warm: Warmth.nullable(),
    version: z
      .string()
      .nullable()
      .describe("Version of the agent's code. Null until it has joined, and for other providers."),
    attempt: z.int(),
    failures: z.int(),
    agentState,
    recovering: z.boolean().describe("True from the loss of an agent until the next one is ready."),
    host: z.string().nullable(),
    room: z.string().nullable().describe("Null until the room is known."),
    endedReason: EndedReason.optional(),
    fault: Fault.optional(),
    queue: QueuePlace.optional(),
    metadataBytes: z
      .int()
      .optional()
      .describe("Size of the metadata, if they exceed 4 KiB and are stored apart from the session."),
  })
  .meta({ id: "SessionSummary" });
export type SessionSummary = z.infer<typeof SessionSummary>;

export const Session = SessionSummary.extend({
  history: z.array(HistoryEntry),
  timings: SessionRecord.shape.timings,
  startupTimings: StartupTimings,
}).meta({ id: "Session" });
export type Session = z.infer<typeof Session>;

export const SessionAnswer = z
  .object({ success: z.literal(true), ...Session.shape })
  .meta({ id: "SessionAnswer" });

export const ListQuery = z.strictObject({
  state: z.enum([...SessionState.options, "starting"]).optional(),
  profile: ProfileName.optional(),
  limit: z.coerce.number().int().min(1).max(200).default(50),
  cursor: z.string().max(512).optional().describe("`nextCursor` of the previous page."),
});
export type ListQuery = z.infer<typeof ListQuery>;

export const ListAnswer = z
  .object({
    success: z.literal(true),
    sessions: z.array(SessionSummary),
    nextCursor: z.string().nullable(),
  })
  .meta({ id: "SessionList" });

export const EndAnswer = z
  .object({
    success: z.literal(true),
    sessionId: SessionId,
    status: SessionStatus,
    endedReason: EndedReason.optional(),
    message: z.string(),
  })
  .meta({ id: "EndAnswer" });
export type EndAnswer = z.infer<typeof EndAnswer>;

export const LogsQuery = z.strictObject({ limit: z.coerce.number().int().min(1).max(1000).default(50) });

export const LogsAnswer = z
  .object({ success: z.literal(true), sessionId: SessionId, lines: LogBatch.shape.lines })
  .meta({ id: "SessionLogs" });

export const TokenRequest = z
  .strictObject({ sessionId: SessionId, userName: UserName.min(1), userId: UserId.optional() })
  .meta({ id: "TokenRequest" });

export const TokenAnswer = z
  .object({ success: z.literal(true), ...joinFields, expiresIn: z.int().describe("Seconds.") })
  .meta({ id: "TokenAnswer" });

/** LiveKit's TokenSource request. Unknown fields of newer clients are accepted. */
export const LiveKitTokenRequest = z
  .looseObject({
    room_name: RoomName.optional(),
    participant_identity: UserId.optional(),
    participant_name: UserName.optional(),
    participant_metadata: ParticipantMetadata.optional(),
    participant_attributes: ParticipantAttributes.optional(),
    start: z
      .literal("now")
      .optional()
      .describe("Starts the session immediately, before somebody has joined the room."),
    room_config: z
      .looseObject({
        agents: z
          .array(z.looseObject({ agent_name: z.string().optional(), metadata: z.string().optional() }))
          .optional()
          .describe("One agent at most."),
        metadata: z.string().optional(),
        empty_timeout: z.int().optional(),
        departure_timeout: z.int().optional(),
        max_participants: z.int().optional(),
        min_playout_delay: z.int().optional(),
        max_playout_delay: z.int().optional(),
        sync_streams: z.boolean().optional(),
      })
      .optional()
      .describe(
        "LiveKit's RoomConfiguration. LiveKit applies the options of the room when the user creates it by joining. Fields without an effect are refused.",
      ),
  })
  .meta({ id: "LiveKitTokenRequest" });
export type LiveKitTokenRequest = z.infer<typeof LiveKitTokenRequest>;

export const LiveKitTokenAnswer = z
  .object({ server_url: z.string(), participant_token: z.string() })
  .meta({ id: "LiveKitTokenAnswer" });

/** Messages from clients on the WebSocket. The answer repeats `requestId`. */
const requestId = z.string().max(128).optional();
export const SocketRequest = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("start"), requestId, ...StartRequest.shape }),
  z.strictObject({ type: z.literal("follow"), requestId, sessionId: SessionId }),
  z.strictObject({ type: z.literal("end"), requestId, sessionId: SessionId, ...EndRequest.shape }),
  z.strictObject({ type: z.literal("ping"), requestId }),
]);
export type SocketRequest = z.infer<typeof SocketRequest>;
