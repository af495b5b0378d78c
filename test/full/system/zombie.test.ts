// A host that wakes long after its session moved: its agent leaves the room at once, and changes nothing.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { killGroup } from "../../../cli/supervisor/guard.ts";
import { processIdentity } from "../../../cli/supervisor/processes.ts";
import { expectNothingLeft } from "../../kit/checks/nothing-left.ts";
import {
  lastSeenMs,
  longestPauseMs,
  longestTogether,
  lookInto,
  type RoomLooks,
} from "../../kit/checks/room-looks.ts";
import { type Listener, listenIn } from "../../kit/stack/listener.ts";
import { lifeOf, openScene, PATIENCE_MS, type Scene } from "../../kit/stack/scene.ts";
import type { Json } from "../../kit/stack/stack.ts";
import { until } from "../../kit/until.ts";

/** The guarantee: two attempts share a room for at most this time, and an agent that wakes leaves within it. */
const OVERLAP_MS = 3000;
/** The time after the wake-up in which the test checks whether the agent comes back. */
const WATCH_MS = 8000;

let scene: Scene;
const cleanUps: (() => unknown)[] = [];
beforeAll(async () => {
  scene = await openScene({ agents: ["tone", "heard"], hosts: 2 });
});
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
  await expectNothingLeft(scene);
});
afterAll(() => scene?.stop());

const processOf = (hostId: string) => scene.stack.child(hostId.replace("host-", "agent-host-"));

describe("a stale agent", () => {
  test.each([
    ["warm", "tone", 0],
    ["hot", "heard", 2],
  ])(
    "leaves the room and changes nothing when it wakes after its session moved (%s)",
    async (warm, profile, hot) => {
      await scene.pool(profile, { idle: 4, hot });
      const answer = await scene.start({ profile });
      expect(answer.warm).toBe(warm);
      const { sessionId: id, room } = answer;
      const listener = await listenIn(answer);
      cleanUps.push(() => listener.leave());
      const before = await scene.session(id);
      const zombie = await agentIn(room);
      await hears(listener, zombie);
      const looking = lookInto(scene.rooms, room);
      cleanUps.push(() => looking.stop());
      const { pid } = processOf(before.host);
      const life = processIdentity(pid);
      const wake = () => killGroup(pid, "SIGCONT");
      cleanUps.push(wake);
      killGroup(pid, "SIGSTOP");

      const next = `agent-${id}-2`;
      const after = await scene.sessionWhen(
        id,
        ({ state, attempt }) => state === "ready" && attempt === 2,
        "is ready in its second attempt",
      );
      expect(after).toMatchObject({ room, failures: 1 });
      expect(after.host).not.toBe(before.host);
      await hears(listener, next);
      const revisions = await scene.revisions(id);

      const wokeAtMs = performance.now();
      wake();
      await new Promise((resolve) => setTimeout(resolve, WATCH_MS));
      await looking.stop();
      expectGone(looking, listener, { zombie, next, wokeAtMs });
      expect(await scene.revisions(id)).toEqual(revisions);
      expect(await scene.session(id)).toMatchObject({ state: "ready", attempt: 2, host: after.host, room });
      const steps = lifeOf(after);
      expect(steps.slice(steps.indexOf("requested 2")).filter((step) => !step.endsWith(" 2"))).toEqual([]);
      expect(listener.isOut()).toBe(false);
      await hears(listener, next);
      expect(processIdentity(pid)).toBe(life);
      await servesAgain(before.host, after.host, profile, id);
    },
  );
});

async function agentIn(room: string): Promise<string> {
  const agents = (await scene.rooms.participants(room)).filter(({ isAgent }) => isAgent);
  expect(agents).toHaveLength(1);
  return agents[0]!.identity;
}

function hears(listener: Listener, identity: string): Promise<unknown> {
  const fromMs = performance.now();
  return until(() => listener.sounds.some(({ from, atMs }) => from === identity && atMs > fromMs), {
    timeoutMs: PATIENCE_MS,
    what: () => `${identity} is heard; present: ${listener.others().join(", ") || "nobody"}`,
  });
}

interface WakeUp {
  readonly zombie: string;
  readonly next: string;
  readonly wokeAtMs: number;
}

/** Expects that LiveKit lists and the listener hears the zombie no longer than guaranteed, and prints the figures. */
function expectGone({ looks }: RoomLooks, { sounds }: Listener, { zombie, next, wokeAtMs }: WakeUp): void {
  const sinceWoke = (atMs: number | undefined) => Math.max(0, Math.round((atMs ?? 0) - wokeAtMs));
  const togetherMs = Math.round(longestTogether(looks, zombie, next));
  const listedMs = sinceWoke(lastSeenMs(looks, zombie));
  const heardMs = sinceWoke(sounds.findLast(({ from }) => from === zombie)?.atMs);
  const pauseMs = Math.round(longestPauseMs(looks));
  console.log(
    `${zombie} with ${next}: ${togetherMs} ms; after its wake-up listed for ${listedMs} ms, heard for ${heardMs} ms ` +
      `(${looks.length} polls, at most ${pauseMs} ms apart)`,
  );
  expect(looks.some(({ identities }) => identities.includes(zombie))).toBe(true);
  expect(looks.at(-1)?.identities).toContain(next);
  expect(togetherMs).toBeLessThanOrEqual(OVERLAP_MS + pauseMs);
  expect(listedMs).toBeLessThanOrEqual(OVERLAP_MS + pauseMs);
  expect(heardMs).toBeLessThanOrEqual(OVERLAP_MS + pauseMs);
}

/** Expects that the old slot is free, and that the resumed host serves the next session while the other one drains. */
async function servesAgain(host: string, other: string, profile: string, id: string): Promise<void> {
  await until(
    async () => {
      const hosts = await scene.hosts();
      const slots = hosts.find((one) => one.hostId === host)?.processes.flatMap(({ slots }: Json) => slots);
      return slots?.every(({ sessionId }: Json) => sessionId !== id) === true;
    },
    { timeoutMs: PATIENCE_MS, what: `${host} is registered, and none of its slots has the session` },
  );
  await scene.pool(profile, { idle: 4 });
  const drain = `/api/hosts/${other}/drain`;
  expect((await scene.stack.post(drain, { deadlineS: 600, onDeadline: "wait" })).status).toBe(202);
  try {
    const again = await scene.start({ profile });
    expect(await scene.session(again.sessionId)).toMatchObject({ state: "ready", host, failures: 0 });
  } finally {
    await fetch(scene.stack.url + drain, { method: "DELETE" });
  }
}
