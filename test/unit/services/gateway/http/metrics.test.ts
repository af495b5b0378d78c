// The gateway's metrics over HTTP.

import { afterEach, describe, expect, test } from "vitest";
import { deadLetters } from "../../../../../libs/contracts/streams.ts";
import { isFromHere } from "../../../../../services/gateway/http/metrics.ts";
import { linesIn } from "../../../../kit/metric-lines.ts";
import { until } from "../../../../kit/until.ts";
import {
  loseAgent,
  type Rig,
  type RigOptions,
  aHost as rigHost,
  startRig,
} from "../../../../kit/worlds/gateway-world.ts";

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
