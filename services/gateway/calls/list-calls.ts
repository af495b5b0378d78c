// GET /api/calls and /api/calls/:sessionId: the call records of ended sessions, newest first.
import { z } from "zod";
import { sessions } from "../../../libs/contracts/buckets.ts";
import { type CallRecord, callSubject, dayOf } from "../../../libs/contracts/calls/call.ts";
import { type Call, CallAnswer, CallsAnswer, CallsQuery } from "../../../libs/contracts/calls/http.ts";
import { GreenroomError, isError } from "../../../libs/contracts/errors.ts";
import { SessionId, sessionKey } from "../../../libs/contracts/ids.ts";
import { ErrorAnswer } from "../../../libs/contracts/sessions/http.ts";
import type { SessionRecord } from "../../../libs/contracts/sessions/session.ts";
import { calls } from "../../../libs/contracts/streams.ts";
import { endedAtOf, hasEnded } from "../../../libs/domain/call/build-call.ts";
import type { Gateway } from "../context.ts";
import type { Routes } from "../http/routes.ts";
import { callRange } from "./call-range.ts";
import { pageOfCalls } from "./read-calls.ts";

const DEFAULT_DAYS = 7;

export function listCallsRoutes(app: Routes, gateway: Gateway): void {
  app.get(
    "/api/calls",
    {
      schema: {
        summary: "List ended calls, newest first",
        description:
          "A few seconds after its end, every session has a call record with its outcome, attempts and measurements.",
        tags: ["calls"],
        querystring: CallsQuery,
        response: { 200: CallsAnswer, "4xx": ErrorAnswer, "5xx": ErrorAnswer },
      },
      // Each record was validated when it was read. A second validation would take longer than everything else.
      serializerCompiler: () => JSON.stringify,
    },
    async ({ query }) => {
      const { bus, clock, tenant } = gateway;
      const range = callRange(query, clock.now(), DEFAULT_DAYS);
      const page = await pageOfCalls({ bus, tenant, range, filter: query }, query);
      return { success: true as const, calls: page.calls.map(toPublicCall), nextCursor: page.nextCursor };
    },
  );
  app.get(
    "/api/calls/:sessionId",
    {
      schema: {
        summary: "Get the call record of an ended session",
        tags: ["calls"],
        params: z.strictObject({ sessionId: SessionId }),
        response: { 200: CallAnswer, "4xx": ErrorAnswer, "5xx": ErrorAnswer },
      },
    },
    async ({ params }) => ({
      success: true as const,
      ...toPublicCall(await requireCall(gateway, params.sessionId)),
    }),
  );
}

/** @throws GreenroomError not_found, with a message that distinguishes a missing record from a future one */
async function requireCall(gateway: Gateway, sessionId: string): Promise<CallRecord> {
  const { bus, tenant } = gateway;
  const record = await recordOf(gateway, sessionId);
  const day = record !== undefined && hasEnded(record) ? dayOf(endedAtOf(record)) : "*";
  const [call] = await bus.streams.read(calls, {
    subject: callSubject(tenant, day, sessionId),
    limit: 1,
    order: "newest-first",
  });
  if (call !== undefined) return call.message;
  throw new GreenroomError(
    "not_found",
    record === undefined
      ? `No call record "${sessionId}". It may have been deleted.`
      : `No call record "${sessionId}" yet: ${record.state === "ended" ? "its session ended just now" : `its session is ${record.state}`}.`,
  );
}

/** The session's record reveals the day of the call, so that one subject is enough. */
async function recordOf(
  { bus, sessions: view, tenant }: Gateway,
  sessionId: string,
): Promise<SessionRecord | undefined> {
  const seen = view.get(tenant, sessionId);
  if (seen !== undefined) return seen.record;
  try {
    return (await bus.kv.get(sessions, sessionKey({ tenant, sessionId })))?.value;
  } catch (error) {
    if (isError(error, "unreadable_record")) return undefined;
    throw error;
  }
}

/** The call without internal fields. The caller knows its tenant. */
export const toPublicCall = ({ v: _v, tenant: _tenant, ...call }: CallRecord): Call => call;
