// The readiness of an agent.
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Readiness, readinessTraits } from "../../../../../services/agent-host/agent-process/readiness.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function scene({ isByHand = false, hasSession = false } = {}) {
  const events: string[] = [];
  const readiness = new Readiness({
    isByHand,
    hasSession,
    afterMs: 5000,
    onReady: (awaitingUser) => events.push(awaitingUser ? "ready, awaits user" : "ready"),
    onStarted: () => events.push("started"),
    onFailed: (error) => events.push(String(error)),
  });
  return { readiness, events };
}

describe("an agent", () => {
  test("is ready when its AgentSession has started, however long that takes", () => {
    const { readiness, events } = scene();
    readiness.inRoom();
    readiness.sessionStarting();
    vi.advanceTimersByTime(60_000);
    expect(events).toEqual([]);
    readiness.sessionStarted();
    readiness.returned();
    expect(events).toEqual(["ready"]);
  });

  test("is ready when entry has returned and it is in its room", () => {
    const { readiness, events } = scene();
    readiness.returned();
    expect(events).toEqual([]);
    readiness.inRoom();
    expect(events).toEqual(["ready"]);
  });

  test("is ready when it has run in its room for a while", () => {
    const { readiness, events } = scene();
    readiness.inRoom();
    vi.advanceTimersByTime(4999);
    expect(events).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(events).toEqual(["ready"]);
  });

  test("is ready only after the call if its file calls ready()", () => {
    const { readiness, events } = scene({ isByHand: true });
    readiness.inRoom();
    readiness.returned();
    vi.advanceTimersByTime(60_000);
    expect(events).toEqual([]);
    readiness.serves();
    readiness.serves();
    expect(events).toEqual(["ready"]);
  });

  test("is ready while it waits for its user, and starts with its AgentSession", () => {
    const { readiness, events } = scene();
    readiness.inRoom();
    readiness.awaitUser();
    vi.advanceTimersByTime(60_000);
    expect(events).toEqual(["ready, awaits user"]);
    readiness.userArrived();
    readiness.sessionStarting();
    readiness.sessionStarted();
    expect(events).toEqual(["ready, awaits user", "started"]);
  });

  test("starts a while after its user joined if it has no AgentSession", () => {
    const { readiness, events } = scene();
    readiness.inRoom();
    readiness.awaitUser();
    readiness.userArrived();
    vi.advanceTimersByTime(5000);
    expect(events).toEqual(["ready, awaits user", "started"]);
  });

  test("is late when its AgentSession does not start after its user joined", () => {
    const { readiness, events } = scene();
    readiness.inRoom();
    readiness.awaitUser();
    readiness.userArrived();
    readiness.sessionStarting();
    vi.advanceTimersByTime(30_000);
    expect(events.at(-1)).toBe("Error: the AgentSession did not start within 30 s");
  });

  test("is ready after a while when its AgentSession failed to start and entry continues", () => {
    const { readiness, events } = scene();
    readiness.inRoom();
    readiness.sessionStarting();
    readiness.sessionFailed(new Error("no key"));
    expect(events).toEqual([]);
    vi.advanceTimersByTime(5000);
    expect(events).toEqual(["ready"]);
  });

  test("fails when its AgentSession fails to start after entry has returned", () => {
    const { readiness, events } = scene({ hasSession: true });
    readiness.inRoom();
    readiness.sessionStarting();
    readiness.returned();
    readiness.sessionFailed(new Error("no key"));
    expect(events).toEqual(["Error: no key"]);
  });

  test("is not ready while a file with an AgentSession prepares it", () => {
    const { readiness, events } = scene({ hasSession: true });
    readiness.inRoom();
    vi.advanceTimersByTime(60_000);
    expect(events).toEqual([]);
    readiness.sessionStarting();
    readiness.sessionStarted();
    expect(events).toEqual(["ready"]);
  });

  test("keeps the limit of its AgentSession when entry returns or the user joins", () => {
    const { readiness, events } = scene();
    readiness.inRoom();
    readiness.awaitUser();
    readiness.sessionStarting();
    readiness.userArrived();
    readiness.returned();
    vi.advanceTimersByTime(30_000);
    expect(events.at(-1)).toBe("Error: the AgentSession did not start within 30 s");
  });

  test("starts when entry has returned, although a wait for the user goes on", () => {
    const { readiness, events } = scene();
    readiness.inRoom();
    readiness.awaitUser();
    readiness.returned();
    expect(events).toEqual(["ready, awaits user", "started"]);
  });
});

test.each([
  ['import { ready, sessionInfo } from "greenroom/agent";', true],
  ["const { ready: r } = require('greenroom/agent');", true],
  ['import * as greenroom from "greenroom/agent";\ngreenroom.ready();', true],
  ['import * as greenroom from "greenroom/agent";\ngreenroom.sessionInfo();', false],
  ['import { sessionInfo } from "greenroom/agent";\nconst ready = true;', false],
  ['import { ready } from "./own.ts";', false],
])("tells from %j whether a file calls ready()", (source, expected) => {
  expect(readinessTraits(source).isByHand).toBe(expected);
});

test("tells from the source whether a file has an AgentSession", () => {
  expect(readinessTraits("new voice.AgentSession({})").hasSession).toBe(true);
  expect(readinessTraits("new AgentSession<Data>({})").hasSession).toBe(true);
  expect(readinessTraits("// without an AgentSession\nnew voice.Agent({})").hasSession).toBe(false);
});
