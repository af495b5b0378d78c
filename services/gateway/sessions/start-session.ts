// POST /api/session/start: creates a session, waits for its agent, and returns how to join the room.
import { z } from "zod";
import type { GreenroomError } from "../../../libs/contracts/errors.ts";
import { ErrorAnswer, StartAnswer, StartRequest } from "../../../libs/contracts/sessions/http.ts";
import { jobMetadataOf } from "../../../libs/contracts/sessions/session.ts";
import { requireLiveKit } from "../../../libs/livekit/connect.ts";
import type { Gateway } from "../context.ts";
import { SessionError } from "../http/errors.ts";
import { metadataBodyLimit } from "../http/request-guards.ts";
import type { Routes } from "../http/routes.ts";
import { estimateStartMs } from "./admit-start.ts";
import { createSession } from "./create-session.ts";
import { findSession } from "./find-session.ts";
import {
  isPrewarmed,
  isRoomSettled,
  lastReason,
  type PublicSession,
  statusOf,
  summarize,
} from "./public-session.ts";
import { randomSessionId, randomToken, sessionIdOfKey } from "./session-ids.ts";
import { rangeOf } from "./start-times.ts";
import { startupTimingsOf } from "./startup-timings.ts";
import { joinOf } from "./tokens.ts";

const Headers = z.looseObject({
  "idempotency-key": z
    .string()
    .min(1)
    .max(255)
    .optional()
    .describe("A repeat with the same key and the same body returns the same session."),
});

export function startSessionRoute(app: Routes, gateway: Gateway): void {
  app.post(
    "/api/session/start",
    {
      bodyLimit: metadataBodyLimit(gateway),
      schema: {
        summary: "Start a session",
        description:
          "Answers 200 if the agent is ready within `wait`, otherwise 202. Then poll the session or follow its events.",
        tags: ["sessions"],
        headers: Headers,
        body: StartRequest,
        response: { 200: StartAnswer, 202: StartAnswer, "4xx": ErrorAnswer, "5xx": ErrorAnswer },
      },
    },
    async (request, reply) => {
      const started = await startSession(gateway, request.body, request.headers["idempotency-key"]);
      if (started.replayed) reply.header("Idempotent-Replayed", "true");
      return reply.code(started.answer.status === "starting" ? 202 : 200).send(started.answer);
    },
  );
}

/**
 * Starts a session and waits for its agent for the requested time.
 * @param newId creates the id of a session without a key; replaced in a simulation
 * @throws GreenroomError if the start is refused, or if the session failed before it was ready
 */
export async function startSession(
  gateway: Gateway,
  request: StartRequest,
  idempotencyKey: string | undefined,
  newId: () => string = randomSessionId,
): Promise<{ answer: StartAnswer; revision: number; replayed: boolean }> {
  const startedAtMs = gateway.clock.monotonic();
  requireLiveKit(gateway.livekit);
  const { wait = gateway.config.GREENROOM_START_WAIT_MS, ...requestBody } = request;
  const { profile, provider, metadata = {}, room, maxDurationMs, deleteRoom } = requestBody;
  const { participantAttributes, participantMetadata } = requestBody;
  const sessionId = idempotencyKey === undefined ? newId() : sessionIdOfKey(gateway.tenant, idempotencyKey);
  const created = await createSession(gateway, {
    sessionId,
    profile,
    provider,
    user: userOf(request),
    ...jobMetadataOf(metadata),
    participant: { metadata: participantMetadata, attributes: participantAttributes },
    room,
    isRoomExclusive: true,
    maxDurationMs,
    deleteRoom,
    requestBody,
    isIdempotent: idempotencyKey !== undefined,
  });
  // `until` checks the present state first, so a change since the creation is not missed.
  const seen = await gateway.subscriptions.until(sessionId, isDecided, wait);
  // A created session exists even if the store's replica is behind and does not have it yet.
  const { record, revision } = seen ?? (await findSession(gateway, sessionId)) ?? created;
  const latencyMs = gateway.clock.monotonic() - startedAtMs;
  const answer = await answerStart(gateway, record, latencyMs, created.estimateMs);
  return { answer, revision, replayed: created.replayed };
}

const isDecided = ({ record }: { record: PublicSession }): boolean =>
  record.state === "ready" || record.state === "ended";

function userOf({ userId, userName }: StartRequest): { id: string; name: string } {
  const id = userId ?? `user-${randomToken()}`;
  return { id, name: userName ?? userId ?? "Guest" };
}

async function answerStart(
  gateway: Gateway,
  record: PublicSession,
  latencyMs: number,
  admittedEstimateMs: number | undefined,
): Promise<StartAnswer> {
  refuseFailed(record);
  const status = statusOf(record.state);
  const summary = summarize(gateway, record);
  return {
    success: true,
    sessionId: record.sessionId,
    status,
    state: record.state,
    profile: record.profile,
    provider: record.provider ?? "pool",
    attempt: record.attempt,
    prewarmed: status === "ready" && isPrewarmed(record),
    warm: record.warm ?? null,
    agentState: summary.agentState,
    message: messageFor(record),
    latencyMs: Math.round(latencyMs * 10) / 10,
    startupTime: summary.startupTime,
    startupTimings: startupTimingsOf(record, gateway.clock.now()),
    ...(status === "starting" ? waitFields(gateway, record, summary.queue, admittedEstimateMs) : {}),
    ...(record.endedReason === undefined ? {} : { endedReason: record.endedReason }),
    ...(isRoomSettled(record) && status !== "ended" ? await joinOf(gateway, record, record.user) : {}),
  };
}

function messageFor(record: PublicSession): string {
  if (record.state === "ended")
    return `The session has ended: ${record.endedReason} (${lastReason(record)}).`;
  if (record.state !== "ready") return "The agent is starting. Poll /api/session/:id for the status.";
  return isPrewarmed(record) ? "Assigned a pre-warmed agent." : "The agent was started and is ready.";
}

/** The estimate of a session that waits in the queue; any other one already has the agent it was admitted for. */
function waitFields(
  gateway: Gateway,
  record: PublicSession,
  queue: StartAnswer["queue"],
  admittedEstimateMs: number | undefined,
): Partial<StartAnswer> {
  const estimatedWaitMs =
    queue === undefined && admittedEstimateMs !== undefined
      ? admittedEstimateMs
      : estimateStartMs(gateway, record, queue?.position ?? 0);
  return {
    estimatedWait: rangeOf(estimatedWaitMs),
    estimatedWaitMs,
    ...(queue === undefined ? {} : { queue }),
  };
}

/** A session that failed is an error for the client that started it; one that ended as usual is not. */
function refuseFailed(record: PublicSession): void {
  if (record.state !== "ended") return;
  const failure = (code: GreenroomError["code"], what: string) =>
    new SessionError(record.sessionId, code, `${what}: ${lastReason(record)}.`);
  switch (record.endedReason) {
    case "no_capacity":
      throw failure("at_capacity", "No agent was free in time");
    case "join_timeout":
    case "ready_timeout":
      throw failure("ready_timeout", "The agent did not become ready in time");
    case "agent_lost":
    case "agent_error":
    case "provider_error":
      throw failure("agent_failed", "The agent failed");
    default:
  }
}
