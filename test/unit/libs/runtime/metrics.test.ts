// Metrics for Prometheus: what processes count, once, with few label values.
import { afterEach, describe, expect, test } from "vitest";
import type { Bus } from "../../../../libs/bus/bus.ts";
import { instrumentedBus } from "../../../../libs/bus/instrumented-bus.ts";
import { pools, sessions } from "../../../../libs/contracts/buckets.ts";
import type { SessionRecord } from "../../../../libs/contracts/sessions/session.ts";
import { deadLetters, hostChanges, pingCommand, sessionEvents } from "../../../../libs/contracts/streams.ts";
import { systemClock } from "../../../../libs/runtime/clock.ts";
import { createMetrics, type Metrics, scopedMetrics } from "../../../../libs/runtime/metrics.ts";
import { measureHost } from "../../../../services/agent-host/host-metrics.ts";
import { countSessions } from "../../../../services/dispatcher/session-metrics.ts";
import { isFromHere } from "../../../../services/gateway/http/metrics.ts";
import { aHost, anEvent, aPool, aSession } from "../../../kit/fixtures/sessions.ts";
import { createRandom } from "../../../kit/random.ts";
import { messagesOn } from "../../../kit/read-messages.ts";
import { until } from "../../../kit/until.ts";
import {
  loseAgent,
  type Rig,
  type RigOptions,
  aHost as rigHost,
  startRig,
} from "../../../kit/worlds/gateway-world.ts";
import { createMemoryServer } from "../../../simulation/nats/memory-server.ts";

/** The lines of one metric without its help text. */
const linesOf = async (metrics: Metrics, name: string): Promise<string[]> =>
  linesIn(await metrics.text(), name);
const linesIn = (text: string, name: string): string[] =>
  text.split("\n").filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));

describe("createMetrics", () => {
  test("reports the process itself: its memory, its event loop, and that it is up", async () => {
    const text = await createMetrics("janitor").text();
    expect(linesIn(text, "greenroom_up")).toEqual(['greenroom_up{service="janitor"} 1']);
    for (const name of [
      "process_resident_memory_bytes",
      "nodejs_eventloop_lag_p99_seconds",
      "process_open_fds",
    ]) {
      expect(linesIn(text, name)).toHaveLength(1);
    }
  });

  test("limits the number of profiles and tenants, and loses none in the sum", async () => {
    const metrics = createMetrics("test");
    const count = metrics.counter("test_total", "Test.", ["profile", "reason"]);
    for (let n = 0; n < 200; n++) count({ profile: `p${n}`, reason: `r${n % 2}` });
    count({ profile: "p3", reason: "r1" });
    metrics.gauge("test_now", "Test.", ["profile"], (set) => {
      for (let n = 0; n < 200; n++) set(1, { profile: `p${n}` });
    });
    const lines = await linesOf(metrics, "test_total");
    expect(new Set(lines.map((line) => /profile="([^"]*)"/.exec(line)?.[1])).size).toBe(51);
    expect(lines).toContain('test_total{profile="p3",reason="r1"} 2');
    expect(lines).toContain('test_total{profile="other",reason="r0"} 75');
    expect(await linesOf(metrics, "test_now")).toContain('test_now{profile="other"} 150');
  });

  test("forgets label values of a gauge that are gone", async () => {
    const metrics = createMetrics("test");
    let profiles = ["a", "b"];
    metrics.gauge("test_now", "Test.", ["profile"], (set) => {
      for (const profile of profiles) set(2, { profile });
    });
    expect(await linesOf(metrics, "test_now")).toEqual([
      'test_now{profile="a"} 2',
      'test_now{profile="b"} 2',
    ]);
    profiles = ["b"];
    expect(await linesOf(metrics, "test_now")).toEqual(['test_now{profile="b"} 2']);
  });

  test("adds up the metrics of several parts of a process, until a part is closed", async () => {
    const metrics = createMetrics("test");
    const [one, other] = [scopedMetrics(metrics), scopedMetrics(metrics)];
    for (const part of [one, other]) {
      part.metrics.gauge("test_now", "Test.", [], (set) => set(1));
      part.metrics.counter("test_total", "Test.")();
    }
    expect(await linesOf(metrics, "test_now")).toEqual(["test_now 2"]);
    one.close();
    expect(await linesOf(metrics, "test_now")).toEqual(["test_now 1"]);
    expect(await linesOf(metrics, "test_total")).toEqual(["test_total 2"]);
  });
});

describe("instrumentedBus", () => {
  const start = () => {
    const metrics = createMetrics("test");
    const server = createMemoryServer({ clock: systemClock, random: createRandom(1) });
    return { metrics, server, bus: instrumentedBus(server.connect("measured"), metrics) };
  };

  test("passes calls on, and counts stored messages and duplicates", async () => {
    const { metrics, bus } = start();
    await bus.streams.publish(sessionEvents, anEvent("s"));
    expect(await bus.streams.publish(sessionEvents, anEvent("s"))).toEqual({ duplicate: true });
    expect(await messagesOn(bus, sessionEvents, "session.*.s.requested", 5)).toHaveLength(1);
    expect(await linesOf(metrics, "greenroom_messages_stored_total")).toEqual([
      'greenroom_messages_stored_total{stream="SESSIONS",outcome="stored"} 1',
      'greenroom_messages_stored_total{stream="SESSIONS",outcome="duplicate"} 1',
    ]);
    expect(await linesOf(metrics, "greenroom_nats_connected")).toEqual(["greenroom_nats_connected 1"]);
  });

  test("counts updates by state, and lost races", async () => {
    const { metrics, bus } = start();
    const first = await bus.kv.update(sessions, aSession("s"), 0);
    expect(first).toBeGreaterThan(0);
    expect(await bus.kv.update(sessions, aSession("s", { writeId: "other" }), 0)).toBeUndefined();
    await bus.kv.update(pools, aPool("echo"), 0);
    expect(await linesOf(metrics, "greenroom_records_saved_total")).toEqual([
      'greenroom_records_saved_total{bucket="sessions",state="requested",outcome="saved"} 1',
      'greenroom_records_saved_total{bucket="sessions",state="requested",outcome="lost_race"} 1',
      'greenroom_records_saved_total{bucket="pools",state="",outcome="saved"} 1',
    ]);
  });

  test("counts the time of each handled message by outcome", async () => {
    const { metrics, bus } = start();
    let tries = 0;
    const stop = await bus.streams.consume(sessionEvents, { durable: "d", concurrency: 1 }, async () => {
      tries += 1;
      if (tries === 1) throw new Error("not yet");
      return tries === 2 ? "nak" : "ack";
    });
    await bus.streams.publish(sessionEvents, anEvent("s"));
    await until(() => tries === 3, { what: "it is done" });
    await stop();
    const counts = await linesOf(metrics, "greenroom_message_handling_seconds_count");
    for (const outcome of ["failed", "nak", "ack"]) {
      expect(counts).toContain(
        `greenroom_message_handling_seconds_count{consumer="d",outcome="${outcome}"} 1`,
      );
    }
  });

  test("counts the time of commands, including unanswered ones", async () => {
    const { metrics, bus } = start();
    const stop = await bus.core.serve(pingCommand, "h", async () => ({ hostId: "h", epoch: 1, sequence: 1 }));
    await bus.core.request(pingCommand, "h", {});
    await stop();
    await expect(bus.core.request(pingCommand, "h", {})).rejects.toMatchObject({ code: "no_responders" });
    expect(await linesOf(metrics, "greenroom_command_seconds_count")).toEqual([
      'greenroom_command_seconds_count{command="ping",outcome="answered"} 1',
      'greenroom_command_seconds_count{command="ping",outcome="no_responders"} 1',
    ]);
  });
});

describe("countSessions", () => {
  const entry = (state: SessionRecord["state"], attempt: number) => ({ state, attempt, at: "t" });
  const ready = (attempt: number, ...before: SessionRecord["history"]): Partial<SessionRecord> => ({
    ...{ state: "ready", attempt, warm: "hot", history: [...before, entry("ready", attempt)] },
  });

  test("counts each start, resume and end once", async () => {
    const metrics = createMetrics("dispatcher");
    const { updated } = countSessions(metrics);
    const update = (change: Partial<SessionRecord>, revision: number) =>
      updated?.(sessions as never, aSession("s", change), revision);
    update({}, 0);
    update(ready(1), 1);
    // Another field of the record changed.
    update({ ...ready(1), timings: { readyMs: 5 } }, 2);
    update({ state: "dispatched", attempt: 2, failures: 1, history: [entry("ready", 1)] }, 3);
    update({ ...ready(2, entry("ready", 1)), failures: 1, warm: "warm" }, 4);
    update({ state: "ended", attempt: 2, failures: 1, endedReason: "completed", fault: "none" }, 5);
    updated?.(pools as never, aPool("echo"), 0);

    expect(await linesOf(metrics, "greenroom_sessions_started_total")).toEqual([
      'greenroom_sessions_started_total{profile="echo",provider="pool"} 1',
    ]);
    expect(await linesOf(metrics, "greenroom_sessions_ready_total")).toEqual([
      'greenroom_sessions_ready_total{profile="echo",warmth="hot",kind="start"} 1',
      'greenroom_sessions_ready_total{profile="echo",warmth="warm",kind="resume"} 1',
    ]);
    expect(await linesOf(metrics, "greenroom_sessions_ended_total")).toEqual([
      'greenroom_sessions_ended_total{profile="echo",reason="completed",fault="none"} 1',
    ]);
    expect(await linesOf(metrics, "greenroom_attempts_failed_total")).toEqual([
      'greenroom_attempts_failed_total{profile="echo"} 1',
    ]);
  });
});

describe("measureHost", () => {
  test("reports agents by LiveKit's names, and what the host has started", async () => {
    const metrics = createMetrics("agent-host");
    const { published } = measureHost(metrics);
    expect(await linesOf(metrics, "lk_agents_active_job_count")).toEqual([]);
    const profiles = { echo: { status: "running", warm: 2, hot: 1, warming: 0, busy: 4, max: 9 } } as const;
    const host = aHost("h", 1, { profiles, load: 0.5, draining: false });
    published?.(hostChanges as never, { ...host, stats: { spawned: 3, assigned: 1, lost: 0 } });
    published?.(hostChanges as never, { ...host, stats: { spawned: 7, assigned: 2, lost: 1 } });

    const text = await metrics.text();
    expect(linesIn(text, "lk_agents_active_job_count").join()).toMatch(/nodename="[^"]+"} 4$/);
    expect(linesIn(text, "lk_agents_worker_load").join()).toMatch(/} 0.5$/);
    expect(linesIn(text, "greenroom_host_agents")).toContain(
      'greenroom_host_agents{profile="echo",state="hot"} 1',
    );
    expect(linesIn(text, "greenroom_host_agents_total")).toEqual([
      'greenroom_host_agents_total{what="spawned"} 7',
      'greenroom_host_agents_total{what="assigned"} 2',
      'greenroom_host_agents_total{what="lost"} 1',
    ]);
  });
});

describe("GET /metrics", () => {
  let rig: Rig;
  const start = async (options?: RigOptions) => {
    rig = await startRig(options);
  };
  afterEach(() => rig.stop());
  const scraped = async (headers: Record<string, string> = {}) =>
    (await rig.get("/metrics", headers)).body as string;

  test("reports sessions, queue, agents and starts of the fleet, and requests by route", async () => {
    await start({ hosts: [rigHost(), rigHost({ echo: { warm: 5 } }, { hostId: "host-2", draining: true })] });
    const { sessionId } = (await rig.post("/api/session/start", {})).body;
    rig.setPlay("wait");
    await rig.post("/api/session/start", { wait: 0 });
    await rig.get(`/api/session/${sessionId}`);
    await rig.get("/nowhere/at/all");
    await until(async () => linesIn(await scraped(), "greenroom_queue_length").length === 1, {
      what: "one session waits",
    });

    const text = await scraped();
    expect(linesIn(text, "greenroom_sessions")).toEqual(
      expect.arrayContaining([
        'greenroom_sessions{profile="echo",state="ready"} 1',
        'greenroom_sessions{profile="echo",state="requested"} 1',
      ]),
    );
    expect(linesIn(text, "greenroom_queue_length")).toEqual(['greenroom_queue_length{profile="echo"} 1']);
    expect(linesIn(text, "greenroom_hosts").sort()).toEqual([
      'greenroom_hosts{draining="false"} 1',
      'greenroom_hosts{draining="true"} 1',
    ]);
    expect(linesIn(text, "greenroom_pool_agents")).toContain(
      'greenroom_pool_agents{profile="echo",state="warm"} 7',
    );
    expect(linesIn(text, "greenroom_session_start_seconds_count")).toEqual([
      'greenroom_session_start_seconds_count{warmth="hot"} 1',
    ]);
    const requests = linesIn(text, "greenroom_http_request_seconds_count");
    expect(requests).toContain(
      'greenroom_http_request_seconds_count{method="GET",route="/api/session/:id",status="200"} 1',
    );
    expect(requests.join()).toContain('status="404"');
    // No session, host or address is a label.
    for (const name of [sessionId, "host-1", "/nowhere"]) expect(text).not.toContain(name);
  });

  test("counts dead letters", async () => {
    await start();
    const letter = { subject: "session.default.s.x", stream: "SESSIONS", sequence: 1, reason: "r" };
    await rig.bus.streams.publish(deadLetters, { ...letter, deliveries: 1, at: "t", payload: "" });
    expect(linesIn(await scraped(), "greenroom_dead_letters")).toEqual(["greenroom_dead_letters 1"]);
    expect(linesIn(await scraped(), "greenroom_store_messages")).toContain(
      'greenroom_store_messages{store="DEAD_LETTERS"} 1',
    );
  });

  test("measures a start only to the session's first ready", async () => {
    await start({ maxAttempts: 3 });
    const { sessionId } = (await rig.post("/api/session/start", {})).body;
    await rig.move(sessionId, loseAgent({ sessionId, attempt: 1 }, "killed"));
    await until(async () => linesIn(await scraped(), "greenroom_queue_length").length === 1, {
      what: "the session waits",
    });
    expect(linesIn(await scraped(), "greenroom_session_start_seconds_count")).toEqual([
      'greenroom_session_start_seconds_count{warmth="hot"} 1',
    ]);
  });

  test("is served to programs on the same machine only, unless a setting allows more", async () => {
    await start();
    expect((await rig.get("/metrics")).headers["content-type"]).toContain("text/plain");
    const proxied = await rig.get("/metrics", { "x-forwarded-for": "203.0.113.9" });
    expect(proxied.status).toBe(403);
    expect(proxied.body.error.code).toBe("forbidden");
    await rig.stop();
    await start({ env: { GREENROOM_METRICS: "all" } });
    expect((await rig.get("/metrics", { "x-forwarded-for": "203.0.113.9" })).status).toBe(200);
    await rig.stop();
    await start({ env: { GREENROOM_METRICS: "off" } });
    expect((await rig.get("/metrics")).status).toBe(404);
  });

  test("recognizes loopback addresses", async () => {
    await start();
    for (const ip of ["127.0.0.1", "127.8.0.1", "::1", "::ffff:127.0.0.1"])
      expect(isFromHere({ ip, headers: {} })).toBe(true);
    for (const ip of ["10.0.0.1", "203.0.113.9", "::ffff:10.0.0.1", "2001:db8::1", "12.7.0.1"]) {
      expect(isFromHere({ ip, headers: {} })).toBe(false);
    }
    expect(isFromHere({ ip: "127.0.0.1", headers: { forwarded: "for=203.0.113.9" } })).toBe(false);
  });
});

test("passes calls without a metric through", async () => {
  const server = createMemoryServer({ clock: systemClock, random: createRandom(1) });
  const bus: Bus = instrumentedBus(server.connect("measured"), createMetrics("test"));
  expect(await bus.admin.usageRatio(sessions)).toBe(0);
  expect(bus.isConnected()).toBe(true);
  await bus.close();
  expect(bus.isConnected()).toBe(false);
});
