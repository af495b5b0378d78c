// `npm run inspect`: the lookup of an id, and the overview of what is stored about it.
import { describe, expect, test } from "vitest";
import { findSubject } from "../../../../cli/inspect/find-subject.ts";
import { sessionOverview, taskOverview } from "../../../../cli/inspect/overview.ts";
import { readPresentState } from "../../../../cli/inspect/present-state.ts";
import { plain, sessionText, taskText } from "../../../../cli/inspect/print.ts";
import { durationOf, jsonOf } from "../../../../cli/inspect/timeline.ts";
import type { RawStored } from "../../../../libs/bus/nats/inspect.ts";
import type { SessionRecord } from "../../../../libs/contracts/sessions/session.ts";
import type { TaskRecord } from "../../../../libs/contracts/tasks/task.ts";

const TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJub2JvZHkifQ.bm8tc2lnbmF0dXJl";
const BEGAN_MS = Date.parse("2026-01-31T12:00:00.000Z");

/** Content of an invented NATS: stream, subject, ms after the start, value. */
type Row = [stream: string, subject: string, ms: number, value: unknown];

function nats(rows: readonly Row[]) {
  const counts = new Map<string, number>();
  const stored = rows.map(([stream, subject, ms, value]): RawStored => {
    const sequence = (counts.get(stream) ?? 0) + 1;
    counts.set(stream, sequence);
    const text = value === undefined ? undefined : typeof value === "string" ? value : JSON.stringify(value);
    return { stream, subject, sequence, at: new Date(BEGAN_MS + ms), text };
  });
  const matching = (stream: string, filter: string) =>
    stored.filter((one) => one.stream === stream && covers(filter, one.subject));
  return {
    subjects: async (stream: string, filter: string) => [
      ...new Set(matching(stream, filter).map(({ subject }) => subject)),
    ],
    stored: async (stream: string, filter: string, limit: number) => matching(stream, filter).slice(0, limit),
  };
}

function covers(filter: string, subject: string): boolean {
  const parts = filter.split(".");
  const tokens = subject.split(".");
  if (parts.at(-1) !== ">" && parts.length !== tokens.length) return false;
  return parts.every((part, i) => part === ">" || part === "*" || part === tokens[i]);
}

const record = (change: Partial<SessionRecord> = {}): SessionRecord => ({
  ...{
    v: 1,
    sessionId: "s_abc",
    tenant: "default",
    profile: "echo",
    state: "dispatched",
    attempt: 1,
    failures: 0,
  },
  ...{
    maxAttempts: 3,
    backoffMs: 0,
    host: "host-1",
    hostEpoch: 4,
    requestedWarmth: "warm",
    avoid: [],
    room: "session-s_abc",
  },
  ...{ roomIsNamed: false, user: { id: "u", name: "U" }, metadata: { plan: "gold" }, requestHash: "x" },
  recovering: false,
  deadlineMs: {
    ...{ requested: 1, dispatched: 1, coldExtra: 1, joined: 1, maxDuration: 1, idle: 1, userAbsent: 1 },
  },
  history: [
    { state: "requested", at: "t", attempt: 1 },
    { state: "dispatched", at: "t", attempt: 1, host: "host-1" },
  ],
  timings: {},
  writeId: "dispatcher-1:1",
  ...change,
});

const ready = record({
  state: "ready",
  identity: "agent-s_abc-1",
  history: [...record().history, { state: "ready", at: "t", attempt: 1, host: "host-1" }],
  timings: { joinMs: 90, readyMs: 120 },
});
const KEY = "$KV.sessions.default.s_abc";

const life: Row[] = [
  ["KV_sessions", KEY, 10, record()],
  ["KV_sessions", KEY, 210, ready],
  [
    "SESSIONS",
    "session.default.s_abc.requested",
    10,
    { type: "requested", profile: "echo", metadata: { plan: TOKEN } },
  ],
  ["SESSIONS", "session.default.s_abc.ready", 200, { type: "ready", attempt: 1, host: "host-1" }],
  ["SESSIONS", "session.default.s_abcd.requested", 0, { type: "requested", profile: "other" }],
  [
    "SESSION_LOGS",
    "log.default.s_abc",
    1000,
    {
      lines: [
        {
          at: new Date(BEGAN_MS + 150).toISOString(),
          level: "info",
          message: `joined with ${TOKEN}`,
          attempt: 1,
        },
        {
          at: new Date(BEGAN_MS + 9_000_000).toISOString(),
          level: "warn",
          message: "from a clock that is off",
        },
      ],
    },
  ],
  [
    "KV_conversations",
    "$KV.conversations.default.s_abc",
    500,
    {
      ...{ checkpoint: 2, attempt: 1, omitted: 1 },
      items: [{ type: "message", role: "user", content: ["my number is 42"] }],
    },
  ],
];
const subject = { kind: "session", tenant: "default", id: "s_abc" } as const;
const terse = { metadata: false, conversation: false };

describe("findSubject", () => {
  const look = nats([
    ["KV_sessions", KEY, 0, {}],
    ["KV_sessions", "$KV.sessions.default.s_abd", 0, {}],
    ["SESSIONS", "session.other.s_abc.requested", 0, {}],
    ["CALLS", "call.default.20260131.s_old", 0, {}],
    ["KV_tasks", "$KV.tasks.default.t_1", 0, {}],
    ["KV_sessions", "$KV.sessions.default.t_1-1", 0, {}],
  ]);

  test("finds an id, whether its record or only its call is left", async () => {
    expect(await findSubject(look, "s_abd")).toEqual({
      found: { kind: "session", tenant: "default", id: "s_abd" },
    });
    expect(await findSubject(look, "s_old")).toEqual({
      found: { kind: "session", tenant: "default", id: "s_old" },
    });
    expect(await findSubject(look, "t_1")).toEqual({ found: { kind: "task", tenant: "default", id: "t_1" } });
    expect(await findSubject(look, "t_1-1")).toMatchObject({ found: { kind: "session" } });
  });

  test("returns every tenant that has the id, unless the tenant is given", async () => {
    const several = await findSubject(look, "s_abc");
    expect(several).toMatchObject({ several: [{ tenant: "default" }, { tenant: "other" }] });
    expect(await findSubject(look, "other.s_abc")).toEqual({
      found: { kind: "session", tenant: "other", id: "s_abc" },
    });
  });

  test("accepts the beginning of an id if it is unique", async () => {
    expect(await findSubject(look, "s_o")).toMatchObject({ found: { id: "s_old" } });
    expect(await findSubject(look, "s_a")).toMatchObject({
      several: [{ id: "s_abc" }, { id: "s_abc" }, { id: "s_abd" }],
    });
    expect(await findSubject(look, "t_"), "a task and its attempts").toMatchObject({ found: { id: "t_1" } });
    expect(await findSubject(look, "x")).toMatchObject({ none: expect.stringContaining("Nothing found") });
    for (const wrong of ["s *", "a.b.c", ">", "", "s_*"]) {
      expect(await findSubject(look, wrong)).toMatchObject({ none: expect.stringContaining("not an id") });
    }
  });
});

describe("sessionOverview", () => {
  test("is in the order of storage, with causes before effects, and of that session only", async () => {
    const { timeline } = await sessionOverview(nats(life), subject, terse);
    expect(timeline.map(({ what }) => what)).toEqual([
      "event: requested",
      "saved: requested → dispatched, attempt 1",
      "log info: joined with (a token) (attempt 1)",
      "event: ready, attempt 1",
      "saved: ready, attempt 1",
      "conversation checkpoint 2, attempt 1: 1 items, 113 bytes, 1 older ones left out",
      // The host's clock is hours ahead, so the line is at the time when NATS stored it.
      "log warn: from a clock that is off",
    ]);
  });

  test("shows the changes and the commands of each revision", async () => {
    const { timeline } = await sessionOverview(nats(life), subject, terse);
    const [first, second] = timeline.filter(({ stream }) => stream === "KV_sessions");
    expect(first?.details).toContain("command create room: room session-s_abc");
    expect(first?.details.join("\n")).toMatch(
      /command assign: host host-1, epoch 4, attempt 1, requestedWarmth warm/,
    );
    expect(second?.fields).toEqual({
      timings: { joinMs: 90, readyMs: 120 },
      identity: "agent-s_abc-1",
    });
  });

  test("measures states by NATS's clock, and includes what the host measured", async () => {
    const overview = await sessionOverview(nats(life), subject, terse);
    expect(overview.steps).toEqual([
      { state: "dispatched", attempt: 1, host: "host-1", atMs: BEGAN_MS + 10, lastedMs: 200 },
      { state: "ready", attempt: 1, host: "host-1", atMs: BEGAN_MS + 210, lastedMs: undefined },
    ]);
    const text = sessionText(overview, { room: "A room.", host: "A host." }, plain);
    expect(text).toContain("dispatched attempt 1 on host-1: 200 ms");
    expect(text).toContain("joined after 90 ms, ready after 120 ms");
    expect(text).toContain("Now:\n  A room.\n  A host.");
  });

  test("contains no tokens, and metadata and conversation only on demand", async () => {
    const overview = await sessionOverview(nats(life), subject, terse);
    for (const text of [sessionText(overview, undefined, plain), jsonOf(overview, false)]) {
      expect(text).not.toContain("eyJ");
      expect(text).not.toContain("gold");
      expect(text).not.toContain("my number");
      expect(text).toContain("plan (");
    }
    const whole = await sessionOverview(nats(life), subject, { metadata: true, conversation: true });
    const text = sessionText(whole, undefined, plain);
    expect(text).toContain("user: my number is 42");
    expect(text).toContain('{"plan":"gold"}');
    expect(text).not.toContain("eyJ");
    expect(jsonOf(whole, true)).toContain("gold");
  });

  test("shows deletions, dead letters, and unreadable messages", async () => {
    const rows: Row[] = [
      ["KV_sessions", KEY, 10, record()],
      ["KV_sessions", KEY, 20, '{"state":"?"}'],
      ["KV_sessions", KEY, 30, undefined],
      ["SESSIONS", "session.default.s_abc.x", 15, "no JSON"],
      [
        "DEAD_LETTERS",
        "dead.session.default.s_abc.x",
        16,
        {
          subject: "session.default.s_abc.x",
          stream: "SESSIONS",
          sequence: 1,
          reason: "it is not JSON",
          deliveries: 1,
          payload: "no JSON",
        },
      ],
    ];
    const overview = await sessionOverview(nats(rows), subject, terse);
    expect(overview.record).toBeUndefined();
    expect(overview.timeline.map(({ what }) => what)).toEqual([
      "saved: requested → dispatched, attempt 1",
      "a message that is not JSON",
      "DEAD LETTER on session.default.s_abc.x (SESSIONS 1): it is not JSON",
      "unreadable record",
      "record deleted",
    ]);
  });

  test("names what has expired", async () => {
    const call: Row = [
      "CALLS",
      "call.default.20260131.s_abc",
      0,
      { outcome: "completed", endedReason: "completed" },
    ];
    const { gone, timeline } = await sessionOverview(nats([call]), subject, terse);
    expect(timeline.map(({ what }) => what)).toEqual(["call record: completed"]);
    expect(gone.join("\n")).toMatch(/record is deleted[\s\S]*events are deleted[\s\S]*No log lines/);
    const whole = await sessionOverview(nats(life), subject, terse);
    expect(whole.gone).toEqual([]);
  });
});

describe("sessionText", () => {
  test("prints the day and the time zone once, and a field where it changes", async () => {
    const text = sessionText(await sessionOverview(nats(life), subject, terse), undefined, plain);
    expect(text.match(/2026-01-31, times in UTC/g)).toHaveLength(1);
    expect(text).toContain("\n12:00:00.200");
    // The host is in the event, in both revisions and in a command.
    expect(text.match(/(?<!command assign: )host host-1/g)).toHaveLength(1);
    expect(text).not.toContain("failures 0");
  });

  test("prints a field again when it changes back", async () => {
    const rows = [1, 2, 1].map((failures, n): Row => ["KV_sessions", KEY, n, record({ failures })]);
    const text = sessionText(await sessionOverview(nats(rows), subject, terse), undefined, plain);
    expect(text.match(/failures \d/g)).toEqual(["failures 1", "failures 2", "failures 1"]);
  });
});

describe("readPresentState", () => {
  const host = (change: object) => ({
    ...{
      hostId: "host-1",
      epoch: 4,
      pid: 1,
      startedAt: "t",
      draining: false,
      load: 0,
      maxAgents: 5,
      sequence: 1,
    },
    ...{ profiles: {}, stats: { spawned: 1, assigned: 1, lost: 0 } },
    processes: [
      {
        id: "st",
        profile: "echo",
        pid: 7,
        slots: [{ id: "sl", state: "busy", sessionId: "s_abc", attempt: 1 }],
      },
    ],
    ...change,
  });
  const on = async (change: object) =>
    (await readPresentState(nats([["KV_hosts", "$KV.hosts.host-1", 0, host(change)]]), undefined, ready))
      .host;

  test("finds the slot on the session's host, or reports its absence", async () => {
    expect(await on({})).toContain("slot sl is busy with attempt 1, in the agent process st (pid 7)");
    expect(await on({ epoch: 5 })).toContain("was restarted");
    expect(await on({ processes: [] })).toContain("has no slot for the session");
    expect((await readPresentState(nats([]), undefined, ready)).host).toContain("no longer registered");
    expect(
      (await readPresentState(nats([]), undefined, record({ host: "provider-livekit" }))).host,
    ).toContain("not on Greenroom's hosts");
  });

  test("finds the room, if LiveKit is available", async () => {
    expect((await readPresentState(nats([]), undefined, ready)).room).toContain("not configured");
    const rooms = {
      list: async () => [{ name: "session-s_abc", createdAtS: 0, participants: 1 }],
      participants: async () => [{ identity: "agent-s_abc-1", isAgent: true }],
    };
    const livekit = { rooms, isSimulated: false } as never;
    expect((await readPresentState(nats([]), livekit, ready)).room).toBe(
      "Participants of the room session-s_abc: agent-s_abc-1 (agent).",
    );
  });
});

describe("taskOverview", () => {
  test("contains the task's attempts, each with its session", async () => {
    const task: TaskRecord = {
      ...{
        v: 1,
        taskId: "t_1",
        tenant: "default",
        to: "+15550100",
        profile: "echo",
        provider: "pool",
        metadata: {},
      },
      ...{
        retry: { maxAttempts: 3, initialMs: 1, maxMs: 1 },
        state: "queued",
        attempt: 1,
        failures: 1,
        life: 1,
      },
      ...{
        backoffMs: 0,
        deadlineMs: { attempt: 1 },
        queueSeq: 1,
        createdAt: "t",
        requestHash: "x",
        writeId: "o",
      },
      attempts: [
        {
          ...{ n: 1, sessionId: "s_abc", state: "busy", states: [] },
          error: { code: "busy", message: "the line was busy", retryable: true },
        },
      ],
    };
    const rows: Row[] = [
      ["KV_tasks", "$KV.tasks.default.t_1", 5, task],
      ["TASKS", "task.default.t_1.slot_granted", 2, { type: "slot_granted", attempt: 1 }],
      ...life,
    ];
    const overview = await taskOverview(nats(rows), { kind: "task", tenant: "default", id: "t_1" }, terse);
    expect(overview.sessions.map(({ subject: { id } }) => id)).toEqual(["s_abc"]);
    const text = taskText(overview, plain);
    expect(text).toContain("Task t_1 of default: queued, 1 attempts, to +15550100");
    expect(text.indexOf("event: slot_granted")).toBeLessThan(text.indexOf("task: queued"));
    expect(text).toContain("Attempt 1, busy: busy, the line was busy");
    expect(text).toContain("Session s_abc of default: ready since +200 ms, attempt 1, ready after 200 ms");
  });
});

test("formats durations for people", () => {
  expect([4, 999, 1500, 130_000, 8_000_000].map(durationOf)).toEqual([
    "4 ms",
    "999 ms",
    "1.5 s",
    "2 min 10 s",
    "2.2 h",
  ]);
});
