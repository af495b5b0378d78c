// Events of an agent that serves a session: what each of them publishes, stores and ends.
import { describe, expect, test } from "vitest";
import type { AgentUsage } from "../../../../../libs/contracts/calls/call.ts";
import { silentLog } from "../../../../../libs/runtime/log.ts";
import type { AgentEvent } from "../../../../../services/agent-host/pool/messages.ts";
import type { Assignment, Slot } from "../../../../../services/agent-host/pool/slots.ts";
import { SessionReporter } from "../../../../../services/agent-host/sessions/session-reporter.ts";
import { anAssignment } from "../../../../kit/fakes/scripted-processes.ts";
import { createSimClock } from "../../../../kit/sim-clock.ts";

const GRACE_MS = 10_000;
const PLACE = { room: "r", identity: "agent-a-1" };

function scene() {
  const clock = createSimClock();
  const reported: string[] = [];
  const reporter = new SessionReporter({
    clock,
    log: silentLog,
    events: {
      publish: async ({ sessionId, attempt }, event) => {
        const { tookMs, version } = event as { tookMs?: number; version?: string };
        reported.push([event.type, `${sessionId}#${attempt}`, tookMs, version].filter(isGiven).join(" "));
      },
      publishLost: ({ sessionId }, reason) => reported.push(`agent_lost ${sessionId}: ${reason}`),
      log: ({ sessionId }, line) => reported.push(`log ${sessionId}: ${line.message}`),
    },
    conversations: {
      keep: ({ sessionId }, { items }) => reported.push(`keep ${sessionId}: ${items.length}`),
      forget: ({ sessionId }) => reported.push(`forget ${sessionId}`),
    },
    usage: {
      note: ({ sessionId }, profile) => reported.push(`usage ${sessionId} of ${profile}`),
      finish: ({ sessionId }, profile) => reported.push(`finish ${sessionId} of ${profile}`),
    },
    userRejoinGraceMs: GRACE_MS,
    onFree: (slot) => reported.push(`free ${slot.id}`),
  });
  const assignment: Assignment = { ...anAssignment("a"), warmth: "warm" };
  const process = { profile: "echo", version: undefined as string | undefined };
  const slot = { id: "slot-1", process, assignment } as unknown as Slot;
  const onEvent = (event: AgentEvent) => {
    reported.length = 0;
    reporter.onAgentEvent(slot, event);
    return [...reported];
  };
  return { assignment, clock, process, reported, reporter, slot, onEvent };
}

const isGiven = (value: unknown): boolean => value !== undefined;

const user = (present: boolean, hungUp = false): AgentEvent => ({ type: "user", present, hungUp });

describe("SessionReporter", () => {
  test("publishes that an agent joined and is ready, with the time since it was taken", async () => {
    const { assignment, clock, onEvent } = scene();
    await clock.advance(30);
    expect(onEvent({ type: "joined", ...PLACE })).toEqual(["joined a#1 30"]);
    await clock.advance(20);
    expect(onEvent({ type: "ready", ...PLACE })).toEqual(["ready a#1 50"]);
    expect(assignment).toMatchObject({ joinMs: 30, readyMs: 50, readyAtMs: 50 });
  });

  test("publishes the version of the process that serves", () => {
    const { onEvent, process } = scene();
    process.version = "v1.2";
    expect(onEvent({ type: "joined", ...PLACE })).toEqual(["joined a#1 0 v1.2"]);
    expect(onEvent({ type: "ready", ...PLACE })).toEqual(["ready a#1 0 v1.2"]);
  });

  test("publishes that the agent file declined, and frees the session", () => {
    const { assignment, onEvent } = scene();
    expect(onEvent({ type: "declined", reason: "no" })).toEqual([
      "provider_declined a#1",
      "forget a",
      "free slot-1",
    ]);
    assignment.isReleased = true;
    expect(onEvent({ type: "declined", reason: "no" })).toEqual(["forget a", "free slot-1"]);
  });

  test("publishes nothing about a released agent", () => {
    const { assignment, onEvent } = scene();
    assignment.isReleased = true;
    expect(onEvent({ type: "ready", ...PLACE })).toEqual([]);
    expect(onEvent({ type: "lost", reason: "x" })).toEqual(["forget a", "free slot-1", "finish a of echo"]);
  });

  test("publishes that the user left after the grace period, unless the user comes back", async () => {
    const { clock, reported, onEvent } = scene();
    onEvent(user(true));
    onEvent(user(false));
    await clock.advance(GRACE_MS - 1);
    onEvent(user(true));
    await clock.advance(GRACE_MS);
    expect(reported).toEqual([]);
    onEvent(user(false));
    await clock.advance(GRACE_MS);
    expect(reported).toEqual(["user_left a#1"]);
  });

  test("publishes at once that a user who hung up has left", async () => {
    const { clock, reported, onEvent } = scene();
    onEvent(user(true));
    onEvent(user(false, true));
    await clock.advance(1);
    expect(reported).toEqual(["user_left a#1"]);
  });

  test("does not report a user who never joined as gone", async () => {
    const { clock, reported, onEvent } = scene();
    onEvent(user(false));
    await clock.advance(GRACE_MS);
    expect(reported).toEqual([]);
  });

  test("stores the conversation, the usage and the log of the session", () => {
    const { onEvent } = scene();
    expect(onEvent({ type: "conversation", items: [], omitted: 0 })).toEqual(["keep a: 0"]);
    expect(onEvent({ type: "usage", usage: {} as AgentUsage })).toEqual(["usage a of echo"]);
    const line = { at: "", level: "error", message: "failed", fields: { error: { message: "boom" } } };
    expect(onEvent({ type: "log", sessionId: "a", line })).toEqual(["log a: failed: boom"]);
  });

  test("keeps the usage of an agent that ended until it is closed", () => {
    const { assignment, onEvent } = scene();
    expect(onEvent({ type: "ended", reason: "it is done", lost: false })).toEqual([
      "agent_ended a#1",
      "forget a",
      "free slot-1",
    ]);
    expect(assignment.over).toMatchObject({ how: "ended", reason: "it is done" });
    expect(onEvent({ type: "closed" })).toContain("finish a of echo");
  });

  test("publishes and counts a lost agent", () => {
    const { assignment, reporter, onEvent } = scene();
    expect(onEvent({ type: "ended", reason: "it lost its room", lost: true })).toContain(
      "agent_lost a: it lost its room",
    );
    expect(reporter.lost).toBe(1);
    expect(assignment.over).toMatchObject({ how: "lost" });
  });

  test("ignores the events of a slot without a session", () => {
    const { slot, onEvent } = scene();
    slot.assignment = undefined;
    expect(onEvent({ type: "closed" })).toEqual([]);
  });
});
