// Estimates of waits, from observed starts.
import { describe, expect, it } from "vitest";
import type { SessionRecord } from "../../../../../libs/contracts/sessions/session.ts";
import type { SessionView } from "../../../../../libs/fleet/session-view.ts";
import { measureStarts, rangeOf } from "../../../../../services/gateway/sessions/start-times.ts";

describe("measureStarts", () => {
  const measured = () => {
    let notify: Parameters<SessionView["onChange"]>[0] = () => {};
    const view: SessionView = {
      get: () => undefined,
      all: () => [],
      waiting: () => [],
      inRoom: () => [],
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
    return { times, observe };
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
    const { times, observe } = measured();
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
    const { times, observe } = measured();
    observe("a", "requested", 0);
    observe("a", "ready", 30_000, { warm: "warm", failures: 1 });
    observe("b", "ready", 30_000, { warm: "warm" });
    expect(times.estimateMs("echo", idle, 0)).toBe(500);
  });

  it("grows with the position in the queue, at the pace at which agents become free", () => {
    const { times, observe } = measured();
    for (let i = 0; i < 5; i++) observe(`s${i}`, "ended", i * 2000);
    expect(times.estimateMs("echo", full, 1)).toBe(2000);
    expect(times.estimateMs("echo", full, 4)).toBe(8000);
  });

  it("formats an estimate as a range", () => {
    expect([0, 400, 1000, 1200, 16_000].map(rangeOf)).toEqual(["0-1s", "0-1s", "1-2s", "1-2s", "16-24s"]);
  });
});
