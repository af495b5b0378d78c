// POST /api/session/start: takes a session in, waits a little, and says how to join it.
import { z } from "zod";
import type { GreenroomError } from "../../../libs/contracts/errors.ts";
import { ErrorAnswer, StartAnswer, StartRequest } from "../../../libs/contracts/sessions/http.ts";
import { queueKeyOf } from "../../../libs/domain/capacity.ts";
import { requireLiveKit } from "../../../libs/livekit/connect.ts";
import type { Gateway } from "../context.ts";
import { SessionError } from "../http/errors.ts";
import type { Routes } from "../http/routes.ts";
import { capacityFor } from "./capacity.ts";
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
import { joinOf } from "./tokens.ts";

const Headers = z.looseObject({
  "idempotency-key": z
    .string()
    .min(1)
    .max(255)
    .optional()
    .describe("A repeat with the same key and the same body is answered with the same session."),
});

export function startSessionRoute(app: Routes, gateway: Gateway): void {
  app.post(
    "/api/session/start",
    {
      schema: {
        summary: "Start a session",
        description:
          "Answers 200 when the agent is ready within the wait, else 202: then poll the session or follow its events.",
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
 * Starts a session and waits for its agent as long as the request says.
 * @param newId the id of a session that has no key; a simulation gives its own
 * @throws GreenroomError what refused it, or why the session ended before it was ready
 */
export async function startSession(
  gateway: Gateway,
  request: StartRequest,
  idempotencyKey: string | undefined,
  newId: () => string = randomSessionId,
): Promise<{ answer: StartAnswer; revision: number; replayed: boolean }> {
  const startedAtMs = gateway.clock.monotonic();
  requireLiveKit(gateway.livekit);
  const { wait = gateway.config.GREENROOM_START_WAIT_MS, ...asked } = request;
  const sessionId = idempotencyKey === undefined ? newId() : sessionIdOfKey(gateway.tenant, idempotencyKey);
  if (asked.room !== undefined) refuseTakenRoom(gateway, asked.room, sessionId);

  const opened = await createSession(gateway, {
    sessionId,
    profile: asked.profile,
    provider: asked.provider,
    user: userOf(asked),
    metadata: asked.metadata ?? {},
    room: asked.room,
    maxDurationMs: asked.maxDurationMs,
    asked,
    mayBeRepeated: idempotencyKey !== undefined,
  });
  // It looks at the present state first, so nothing that happened meanwhile is missed.
  const seen = await gateway.subscriptions.until(sessionId, isDecided, wait);
  // What was taken in exists, also when a store that is behind knows nothing of it yet, or once more.
  const { record, revision } = seen ?? (await findSession(gateway, sessionId)) ?? opened;
  const answer = await answerStart(gateway, record, gateway.clock.monotonic() - startedAtMs);
  return { answer, revision, replayed: opened.replayed };
}

const isDecided = ({ record }: { record: PublicSession }): boolean =>
  record.state === "ready" || record.state === "ended";

function userOf({ userId, userName }: StartRequest): { id: string; name: string } {
  const id = userId ?? `user-${randomToken()}`;
  return { id, name: userName ?? userId ?? "Guest" };
}

function refuseTakenRoom(gateway: Gateway, room: string, sessionId: string): void {
  const other = gateway.sessions
    .all()
    .find(({ record }) => record.room === room && record.state !== "ended" && record.sessionId !== sessionId);
  if (other === undefined) return;
  throw new SessionError(
    other.record.sessionId,
    "conflict",
    `The room "${room}" has the session ${other.record.sessionId} already. Ask /api/token for a way into it.`,
  );
}

async function answerStart(gateway: Gateway, record: PublicSession, latencyMs: number): Promise<StartAnswer> {
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
    message: messageFor(record),
    latencyMs: Math.round(latencyMs * 10) / 10,
    startupTime: summary.startupTime,
    ...(status === "starting" ? waitFields(gateway, record, summary.queue) : {}),
    ...(record.endedReason === undefined ? {} : { endedReason: record.endedReason }),
    ...(isRoomSettled(record) && status !== "ended" ? await joinOf(gateway, record, record.user) : {}),
  };
}

function messageFor(record: PublicSession): string {
  if (record.state === "ended")
    return `The session has ended: ${record.endedReason} (${lastReason(record)}).`;
  if (record.state !== "ready") return "Agent is being started. Poll /api/session/:id for its status.";
  return isPrewarmed(record) ? "Assigned a pre-warmed agent." : "The agent was started and is ready.";
}

function waitFields(
  gateway: Gateway,
  record: PublicSession,
  queue: StartAnswer["queue"],
): Partial<StartAnswer> {
  const capacity = capacityFor(gateway, record);
  const estimatedWaitMs = gateway.startTimes.estimateMs(queueKeyOf(record), capacity, queue?.position ?? 0);
  return {
    estimatedWait: rangeOf(estimatedWaitMs),
    estimatedWaitMs,
    ...(queue === undefined ? {} : { queue }),
  };
}

/** A session that failed is an error to whoever asked for it; one that ran its course is not. */
function refuseFailed(record: PublicSession): void {
  if (record.state !== "ended") return;
  const say = (code: GreenroomError["code"], what: string) =>
    new SessionError(record.sessionId, code, `${what}: ${lastReason(record)}.`);
  switch (record.endedReason) {
    case "no_capacity":
      throw say("at_capacity", "No agent was free in time");
    case "join_timeout":
    case "ready_timeout":
      throw say("ready_timeout", "The agent did not become ready in time");
    case "agent_lost":
    case "agent_error":
    case "provider_error":
      throw say("agent_failed", "The agent failed");
    default:
  }
}
