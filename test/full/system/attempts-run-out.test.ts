// Kills every agent of a session in turn. After the last attempt the session ends and its room is deleted.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { expectNothingLeft } from "../../kit/checks/nothing-left.ts";
import { lifeOf, openScene, PATIENCE_MS, type Scene } from "../../kit/stack/scene.ts";
import type { Json } from "../../kit/stack/stack.ts";
import { type Visitor, visit } from "../../kit/stack/visitor.ts";
import { until } from "../../kit/until.ts";

/** The default of GREENROOM_MAX_ATTEMPTS. */
const DEFAULT_MAX_ATTEMPTS = 3;

let scene: Scene;
let visitor: Visitor | undefined;
beforeAll(async () => {
  scene = await openScene({ agents: ["alone"] });
});
afterEach(async () => {
  await visitor?.leave();
  visitor = undefined;
  await expectNothingLeft(scene);
});
afterAll(() => scene?.stop());

describe("a session out of attempts", () => {
  test("ends as agent_lost and disconnects its user, when the agent of every attempt is killed", async () => {
    await scene.pool("alone", { idle: 2 });
    const answer = await scene.start({ profile: "alone" });
    const { sessionId: id, room } = answer;
    const events = eventsOf(id);
    const joined = await visit(answer);
    visitor = joined;
    const pids = new Set<number>();
    for (let attempt = 1; attempt <= DEFAULT_MAX_ATTEMPTS; attempt++) {
      await serves(id, attempt, room);
      expect(joined.isOut()).toBe(false);
      // Each attempt needs a warm agent.
      await scene.pool("alone", { idle: 2 });
      pids.add(await killAgentOf(id, attempt));
    }
    expect(pids.size).toBe(DEFAULT_MAX_ATTEMPTS);

    const over = await scene.ended(id);
    const end = { state: "ended", status: "ended", endedReason: "agent_lost", fault: "platform" };
    expect(over).toMatchObject({ ...end, attempt: 3, failures: 3, room });
    expectThreeAttempts(over);
    expect(new Set((await scene.revisions(id)).flatMap((record) => record.room ?? []))).toEqual(
      new Set([room]),
    );

    await until(async () => (await scene.rooms.list()).every(({ name }) => name !== room), {
      timeoutMs: PATIENCE_MS,
      what: "LiveKit has deleted the room",
    });
    await until(() => joined.isOut(), { timeoutMs: PATIENCE_MS, what: "the visitor is disconnected" });
    const received = await events;
    expect(received.map(({ state, attempt }) => `${state} ${attempt}`)).toEqual(
      expect.arrayContaining(["ready 1", "ready 2", "ready 3", "ended 3"]),
    );
    expect(received.at(-1)).toMatchObject({ ...end, attempt: 3, failures: 3 });
    await noSlotIsBusy();
  });
});

/** Waits until only the attempt's agent is in the room. */
async function serves(id: string, attempt: number, room: string): Promise<void> {
  const session = await scene.sessionWhen(
    id,
    (seen) => seen.state === "ready" && seen.attempt === attempt,
    `is ready in attempt ${attempt}`,
  );
  expect(session).toMatchObject({ room, failures: attempt - 1, recovering: false });
  let agents: string[] = [];
  await until(
    async () => {
      const inside = await scene.rooms.participants(room);
      agents = inside.filter(({ isAgent }) => isAgent).map(({ identity }) => identity);
      return agents.join() === `agent-${id}-${attempt}`;
    },
    {
      timeoutMs: PATIENCE_MS,
      what: () => `only the agent of attempt ${attempt} is in the room; present: ${agents.join(", ")}`,
    },
  );
}

/** Kills the agent process of an attempt. @returns its pid */
async function killAgentOf(id: string, attempt: number): Promise<number> {
  const pid = await until(
    async () => {
      const found = await scene.slotOf(id);
      return found?.slot.attempt === attempt ? (found.agentProcess.pid as number) : undefined;
    },
    { timeoutMs: PATIENCE_MS, what: `a host shows the agent of attempt ${attempt}` },
  );
  process.kill(pid, "SIGKILL");
  return pid;
}

function expectThreeAttempts(session: Json): void {
  const life = lifeOf(session);
  expect(life[0]).toBe("requested 1");
  expect(life.at(-1)).toBe("ended 3");
  for (const attempt of [1, 2, 3]) expect(life).toContain(`ready ${attempt}`);
  const losses = session.history.filter(
    ({ state, attempt }: Json) => state === "ended" || (state === "requested" && attempt > 1),
  );
  expect(losses).toHaveLength(3);
  for (const { reason } of losses) expect(reason).toContain("SIGKILL");
}

/** The session's event stream until its end. */
async function eventsOf(id: string): Promise<Json[]> {
  const response = await fetch(`${scene.stack.url}/api/session/${id}/events`);
  const lines = (await response.text()).split("\n");
  return lines.flatMap((line) =>
    line.startsWith("data: ") ? [JSON.parse(line.slice("data: ".length))] : [],
  );
}

async function noSlotIsBusy(): Promise<void> {
  await until(
    async () => {
      const slots = (await scene.hosts()).flatMap(({ processes }) =>
        processes.flatMap(({ slots }: Json) => slots),
      );
      return slots.length > 0 && slots.every(({ state, sessionId }) => state !== "busy" && !sessionId);
    },
    { timeoutMs: PATIENCE_MS, what: "no slot is busy" },
  );
  expect((await scene.health()).sessions).toMatchObject({ ready: 0, total: 0 });
}
