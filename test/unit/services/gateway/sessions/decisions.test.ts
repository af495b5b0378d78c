// The gateway's pure decisions: profiles, capacity, estimates, pages, origins, ids.
import { describe, expect, it } from "vitest";
import type { SessionRecord } from "../../../../../libs/contracts/sessions/session.ts";
import type { SessionView } from "../../../../../libs/fleet/session-view.ts";
import { isAllowedOrigin } from "../../../../../services/gateway/http/cors-origins.ts";
import { livekitSources } from "../../../../../services/gateway/http/page.ts";
import { capacityOnHosts } from "../../../../../services/gateway/sessions/capacity.ts";
import { defaultProfile } from "../../../../../services/gateway/sessions/profiles.ts";
import {
  randomSessionId,
  sessionIdOfKey,
  sessionIdOfRoom,
} from "../../../../../services/gateway/sessions/session-ids.ts";
import { measureStarts, rangeOf } from "../../../../../services/gateway/sessions/start-times.ts";
import { aHost } from "../../../../kit/worlds/gateway-world.ts";

describe("defaultProfile", () => {
  it("is the configured profile, else assistant if it runs, else echo, else the first that runs", () => {
    const disabled = { status: "disabled" as const };
    expect(defaultProfile([aHost({ assistant: {}, echo: {} })], undefined)).toBe("assistant");
    expect(defaultProfile([aHost({ assistant: disabled, echo: {} })], undefined)).toBe("echo");
    expect(defaultProfile([aHost({ assistant: disabled, tutor: {}, coach: {} })], undefined)).toBe("coach");
    expect(defaultProfile([aHost({ assistant: disabled })], undefined)).toBe("assistant");
    expect(defaultProfile([aHost({ assistant: {} })], "tutor")).toBe("tutor");
    expect(defaultProfile([], undefined)).toBeUndefined();
  });
});

describe("capacityOnHosts", () => {
  it("adds up the idle agents and the free slots of live hosts", () => {
    const one = aHost(
      { echo: { warm: 2, hot: 1, busy: 4, max: 10, warmUpMs: 900 }, other: { busy: 2 } },
      { maxAgents: 12 },
    );
    const two = aHost({ echo: { warm: 0, hot: 0, busy: 5, max: 5 } }, { hostId: "host-2" });
    const draining = aHost({ echo: {} }, { hostId: "host-3", draining: true });
    expect(capacityOnHosts([one, two, draining], "echo")).toEqual({ idle: 3, cold: 3, warmUpMs: 900 });
  });

  it("is zero where the profile does not run or the host is full", () => {
    expect(capacityOnHosts([aHost({ echo: { status: "failed" } })], "echo")).toMatchObject({
      idle: 0,
      cold: 0,
    });
    const full = aHost({ echo: { warm: 0, hot: 0, busy: 3, max: 50 } }, { maxAgents: 3 });
    expect(capacityOnHosts([full], "echo")).toMatchObject({ idle: 0, cold: 0 });
  });
});

describe("measureStarts", () => {
  const measured = () => {
    let notify: Parameters<SessionView["onChange"]>[0] = () => {};
    const view: SessionView = {
      get: () => undefined,
      all: () => [],
      waiting: () => [],
      onChange: (listener) => {
        notify = listener;
        return () => {};
      },
      stop: async () => {},
    };
    const times = measureStarts(view);
    const observe = (id: string, state: string, seenAtMs: number, more: Partial<SessionRecord> = {}) => {
      const history = state === "requested" ? [{}] : [{}, {}, {}, {}];
      const record = {
        id,
        profile: "echo",
        state,
        failures: 0,
        history,
        ...more,
      } as unknown as SessionRecord;
      const seen = { key: id, record, revision: 1, seenAtMs };
      notify({ key: id, value: record, revision: 1, seen, before: undefined });
    };
    return { times, see: observe };
  };
  const idle = { idle: 3, cold: 5, warmUpMs: 2000 };
  const cold = { idle: 0, cold: 5, warmUpMs: 2000 };
  const full = { idle: 0, cold: 0, warmUpMs: 2000 };

  it("estimates by the hosts' warm-up time before the first measurement", () => {
    const { times } = measured();
    expect(times.estimateMs("echo", idle, 0)).toBe(500);
    expect(times.estimateMs("echo", cold, 0)).toBe(2500);
    expect(times.estimateMs("echo", full, 2)).toBe(60_000);
  });

  it("estimates by the median of observed starts, warm and cold apart", () => {
    const { times, see: observe } = measured();
    for (const [index, tookMs] of [40, 60, 9000].entries()) {
      observe(`s${index}`, "requested", 1000);
      observe(`s${index}`, "ready", 1000 + tookMs, { warm: "hot" });
    }
    observe("c", "requested", 0);
    observe("c", "ready", 4000, { warm: "cold" });
    expect(times.estimateMs("echo", idle, 0)).toBe(60);
    expect(times.estimateMs("echo", cold, 0)).toBe(4000);
    expect(times.estimateMs("other", idle, 0)).toBe(500);
  });

  it("ignores starts that failed once, and starts whose request was not observed", () => {
    const { times, see: observe } = measured();
    observe("a", "requested", 0);
    observe("a", "ready", 30_000, { warm: "warm", failures: 1 });
    observe("b", "ready", 30_000, { warm: "warm" });
    expect(times.estimateMs("echo", idle, 0)).toBe(500);
  });

  it("grows with the position in the queue, at the pace at which agents become free", () => {
    const { times, see: observe } = measured();
    for (let i = 0; i < 5; i++) observe(`s${i}`, "ended", i * 2000);
    expect(times.estimateMs("echo", full, 1)).toBe(2000);
    expect(times.estimateMs("echo", full, 4)).toBe(8000);
  });

  it("is shown as a range", () => {
    expect([0, 400, 1000, 1200, 16_000].map(rangeOf)).toEqual(["0-1s", "0-1s", "1-2s", "1-2s", "16-24s"]);
  });
});

describe("sessionIdOfKey, sessionIdOfRoom and randomSessionId", () => {
  it("returns the same id for the same key or room, and otherwise different ones", () => {
    expect(sessionIdOfKey("t", "k")).toBe(sessionIdOfKey("t", "k"));
    const ids = [
      sessionIdOfKey("t", "k"),
      sessionIdOfKey("t2", "k"),
      sessionIdOfKey("t", "k2"),
      sessionIdOfKey("tk", ""),
      sessionIdOfRoom("t", "k", 0),
      sessionIdOfRoom("t", "k", 1),
      randomSessionId(),
      randomSessionId(),
    ];
    expect(new Set(ids).size).toBe(ids.length);
    for (const id of ids) expect(id).toMatch(/^s_[0-9A-Za-z]{22}$/);
  });
});

describe("isAllowedOrigin", () => {
  it("accepts pages of the gateway's address, of this machine, or of the configured origins", () => {
    const isAllowed = (origin: string | undefined, setting?: string) =>
      isAllowedOrigin(origin, "gw.example:8080", setting);
    expect(isAllowed(undefined)).toBe(true);
    expect(isAllowed("http://gw.example:8080")).toBe(true);
    expect(isAllowed("http://localhost:3000")).toBe(true);
    expect(isAllowed("http://[::1]:3000")).toBe(true);
    expect(isAllowed("http://localhost.evil.example")).toBe(false);
    expect(isAllowed("null")).toBe(false);
    expect(isAllowed("https://a.example", "https://b.example, https://a.example/")).toBe(true);
    expect(isAllowed("http://localhost:3000", "https://a.example")).toBe(false);
    expect(isAllowed("https://anyone.example", "*")).toBe(true);
  });

  it("allows LiveKit by WebSocket and HTTP, and every region of LiveKit Cloud", () => {
    expect(livekitSources(undefined)).toEqual([]);
    expect(livekitSources({ publicUrl: "wss://lk.example/path" })).toEqual([
      "wss://lk.example",
      "https://lk.example",
    ]);
    expect(livekitSources({ publicUrl: "ws://127.0.0.1:7880" })).toEqual([
      "ws://127.0.0.1:7880",
      "http://127.0.0.1:7880",
    ]);
    expect(livekitSources({ publicUrl: "wss://me.livekit.cloud" })).toContain("wss://*.livekit.cloud");
  });
});
