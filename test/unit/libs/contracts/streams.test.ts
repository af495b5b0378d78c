// Subjects, keys and message ids: what is stored where, and which messages are duplicates.
import { describe, expect, test } from "vitest";
import { allBuckets, hosts, pools, rollups, sessions } from "../../../../libs/contracts/buckets.ts";
import { errorTable, GreenroomError, isError, messageOf } from "../../../../libs/contracts/errors.ts";
import {
  agentIdentityOf,
  roomOf,
  SessionId,
  STANDBY_PREFIX,
  sessionKey,
} from "../../../../libs/contracts/ids.ts";
import { Metadata, SessionEvent } from "../../../../libs/contracts/sessions/session.ts";
import {
  allChannels,
  assignCommand,
  deadLetters,
  pingCommand,
  releaseCommand,
  sessionEvents,
  sessionLogs,
} from "../../../../libs/contracts/streams.ts";
import { AT, aHost, anEvent, aPool, aSession } from "../../../kit/fixtures/sessions.ts";
import { subjectMatches } from "../../../simulation/nats/streams.ts";

const address = { tenant: "t", sessionId: "s", at: AT };
const byHost = { ...address, attempt: 2, host: "h", epoch: 3 };
const joinedRoom = { room: "r", identity: "i", warm: "warm", tookMs: 1 } as const;
const exceeded = {
  ...address,
  type: "deadline_exceeded",
  attempt: 2,
  state: "ready",
  kind: "idle",
  waitedMs: 1,
  reason: "w",
} as const;

const oneOfEach: SessionEvent[] = [
  anEvent("s"),
  { ...address, type: "end_requested", endedReason: "completed", reason: "w" },
  { ...byHost, type: "joined", ...joinedRoom },
  { ...byHost, type: "ready", ...joinedRoom },
  { ...byHost, type: "agent_started" },
  { ...byHost, type: "user_left" },
  { ...byHost, type: "agent_ended", reason: "w", retryable: true },
  { ...byHost, type: "provider_declined", reason: "w", pauseMs: 500 },
  { ...byHost, type: "migrated", reason: "w" },
  { ...address, type: "agent_lost", attempt: 2, reason: "w" },
  exceeded,
  { ...address, type: "retry_requested", attempt: 2 },
];

describe("sessionEvents", () => {
  test("has an example of every type in this test", () => {
    const types = SessionEvent.options.map((option) => option.shape.type.value);
    expect(oneOfEach.map(({ type }) => type).sort()).toEqual([...types].sort());
  });

  test.each(oneOfEach.map((event) => [event.type, event] as const))(
    "has shape and subject of %s",
    (type, event) => {
      expect(SessionEvent.parse(JSON.parse(JSON.stringify(event)))).toStrictEqual(event);
      expect(sessionEvents.subjectOf(event)).toBe(`session.t.s.${type}`);
      expect(subjectMatches(sessionEvents.subjects, sessionEvents.subjectOf(event))).toBe(true);
    },
  );

  test("has the same id for a repeated event, from any publisher at any time", () => {
    for (const event of oneOfEach.filter(({ type }) => type !== "retry_requested")) {
      expect(sessionEvents.idOf({ ...event, at: "later" })).toBe(sessionEvents.idOf(event));
      expect(sessionEvents.idOf(event)).toMatch(/^t\.s\./);
    }
    const lost = { ...address, type: "agent_lost", attempt: 2 } as const;
    expect(sessionEvents.idOf({ ...lost, reason: "reported by the host" })).toBe(
      sessionEvents.idOf({ ...lost, reason: "reported by the janitor" }),
    );
  });

  test("has different ids by session, tenant, type, attempt and deadline", () => {
    const all: SessionEvent[] = [
      ...oneOfEach,
      anEvent("other"),
      anEvent("s", { tenant: "other" }),
      { ...byHost, type: "joined", ...joinedRoom, attempt: 3 },
      { ...address, type: "agent_lost", attempt: 3, reason: "w" },
      { ...exceeded, kind: "max_duration" },
      { ...exceeded, state: "joined" },
      { ...exceeded, attempt: 3 },
    ];
    const ids = all.map((event) => sessionEvents.idOf(event)).filter((id) => id !== undefined);
    expect(ids).toHaveLength(all.length - 1);
    expect(new Set(ids).size).toBe(ids.length);
  });

  test("gives no id to retry_requested, so that each counts", () => {
    expect(sessionEvents.idOf({ ...address, type: "retry_requested", attempt: 1 })).toBeUndefined();
  });
});

describe("streams, commands and buckets", () => {
  test("has separate subjects for logs and dead letters", () => {
    const log = sessionLogs.subjectOf({ tenant: "t", sessionId: "s", lines: [] });
    expect(log).toBe("log.t.s");
    expect(subjectMatches(sessionLogs.subjects, log)).toBe(true);
    const dead = deadLetters.subjectOf({
      stream: "SESSIONS",
      sequence: 1,
      subject: "session.t.s.ready",
      reason: "",
      deliveries: 1,
      at: AT,
      payload: "",
    });
    expect(dead).toBe("dead.session.t.s.ready");
    expect(subjectMatches(deadLetters.subjects, dead)).toBe(true);
  });

  test("stores no subject in two streams", () => {
    const examples = [
      "session.t.s.ready",
      "overflow.session.t.s.ready",
      "log.t.s",
      "dead.session.t.s.ready",
      "host.h.assign",
    ];
    const stored = examples.map((subject) =>
      allChannels.filter(({ subjects }) => subjectMatches(subjects, subject)).map(({ stream }) => stream),
    );
    expect(stored).toEqual([["SESSIONS"], ["SESSIONS_OVERFLOW"], ["SESSION_LOGS"], ["DEAD_LETTERS"], []]);
  });

  test("addresses a command to one host", () => {
    expect([assignCommand, releaseCommand, pingCommand].map((command) => command.subjectOf("h1"))).toEqual([
      "host.h1.assign",
      "host.h1.release",
      "host.h1.ping",
    ]);
  });

  test("derives a record's key, valid for NATS, from its own fields", () => {
    const rollup = {
      tenant: "t",
      profile: "echo",
      minute: "2026-01-31T12:34Z",
      sessions: 1,
      byReason: {},
      byWarmth: {},
      attempts: 1,
    };
    const keys = [
      sessions.keyOf(aSession("s")),
      hosts.keyOf(aHost("h")),
      pools.keyOf(aPool("echo")),
      rollups.keyOf(rollup),
    ];
    expect(keys).toEqual(["t.s", "h", "echo", "t.echo.202601311234"]);
    for (const key of keys) expect(key).toMatch(/^[-/=.\w]+$/);
    expect(new Set(allBuckets.map(({ name }) => name)).size).toBe(allBuckets.length);
  });
});

describe("names", () => {
  test.each(["a", "A-b_9", "x".repeat(64)])("accepts %s as a session id", (id) => {
    expect(SessionId.safeParse(id).success).toBe(true);
  });

  test.each(["", "a.b", "a b", "a*", ">", "a/b", "ä", "x".repeat(65), "a\n"])(
    "rejects %j as a session id",
    (id) => {
      expect(SessionId.safeParse(id).success).toBe(false);
    },
  );

  test("distinguishes rooms, keys and identities by session and attempt", () => {
    expect([
      roomOf("s"),
      sessionKey({ tenant: "t", sessionId: "s" }),
      agentIdentityOf({ sessionId: "s", attempt: 2 }),
    ]).toEqual(["session-s", "t.s", "agent-s-2"]);
    expect(roomOf("s").startsWith(STANDBY_PREFIX)).toBe(false);
  });

  test("limits metadata to 4 KiB", () => {
    expect(Metadata.safeParse({ a: "x".repeat(4000) }).success).toBe(true);
    expect(Metadata.safeParse({ a: "x".repeat(4100) }).success).toBe(false);
  });
});

describe("the error table and GreenroomError", () => {
  test("has a status, a sentence and retryable for every code", () => {
    for (const [code, { http, description, retryable }] of Object.entries(errorTable)) {
      expect([code, http >= 400 && http < 600, description.endsWith("."), typeof retryable]).toEqual([
        code,
        true,
        true,
        "boolean",
      ]);
    }
  });

  test("creates an error with code, cause and retryable", () => {
    const cause = new Error("the socket closed");
    const error = new GreenroomError("storage_unavailable", "saving x: NATS is away.", {
      cause,
      retryAfterMs: 5,
    });
    expect(error).toMatchObject({ code: "storage_unavailable", retryable: true, retryAfterMs: 5, cause });
    expect(isError(error, "storage_unavailable")).toBe(true);
    expect(isError(error, "storage_full")).toBe(false);
    expect(isError(cause, "storage_unavailable")).toBe(false);
    expect([messageOf(error), messageOf("text")]).toEqual(["saving x: NATS is away.", "text"]);
  });
});
