// A host wakes long after its session went on elsewhere: its agent is out of the room at once, and changes nothing.
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
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

/** What is promised: two attempts are in a room for no longer, and one that wakes is out of it by then. */
const OVERLAP_MS = 3000;
/** For so long after it woke, it is looked whether it comes back. */
const LOOKED_FOR_MS = 8000;

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

test.each([
  ["warm", "tone"],
  ["hot", "heard"],
])(
  "a %s agent that wakes after its session went on is out of the room and changes nothing",
  async (warm, profile) => {
    await scene.pool(profile, { idle: 4 });
    const answer = await scene.start({ profile });
    expect(answer.warm).toBe(warm);
    const { sessionId: id, room } = answer;
    const listener = await listenIn(answer);
    cleanUps.push(() => listener.leave());
    const before = await scene.session(id);
    const zombie = await theAgentIn(room);
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
    await new Promise((resolve) => setTimeout(resolve, LOOKED_FOR_MS));
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

async function theAgentIn(room: string): Promise<string> {
  const agents = (await scene.rooms.participants(room)).filter(({ isAgent }) => isAgent);
  expect(agents).toHaveLength(1);
  return agents[0]!.identity;
}

function hears(listener: Listener, identity: string): Promise<unknown> {
  const fromMs = performance.now();
  return until(() => listener.sounds.some(({ from, atMs }) => from === identity && atMs > fromMs), {
    timeoutMs: PATIENCE_MS,
    what: () => `${identity} is heard; there are ${listener.others().join(", ") || "none"}`,
  });
}

interface Woken {
  readonly zombie: string;
  readonly next: string;
  readonly wokeAtMs: number;
}

/** In LiveKit's lists and in the listener's ears; the figures are printed. */
function expectGone({ looks }: RoomLooks, { sounds }: Listener, { zombie, next, wokeAtMs }: Woken): void {
  const sinceWoke = (atMs: number | undefined) => Math.max(0, Math.round((atMs ?? 0) - wokeAtMs));
  const togetherMs = Math.round(longestTogether(looks, zombie, next));
  const listedMs = sinceWoke(lastSeenMs(looks, zombie));
  const heardMs = sinceWoke(sounds.findLast(({ from }) => from === zombie)?.atMs);
  const pauseMs = Math.round(longestPauseMs(looks));
  console.log(
    `${zombie} and ${next} were listed together for ${togetherMs} ms; after it woke the former was listed for ` +
      `${listedMs} ms and heard for ${heardMs} ms (${looks.length} looks, ${pauseMs} ms apart at most)`,
  );
  expect(looks.some(({ identities }) => identities.includes(zombie))).toBe(true);
  expect(looks.at(-1)?.identities).toContain(next);
  expect(togetherMs).toBeLessThanOrEqual(OVERLAP_MS + pauseMs);
  expect(listedMs).toBeLessThanOrEqual(OVERLAP_MS + pauseMs);
  expect(heardMs).toBeLessThanOrEqual(OVERLAP_MS + pauseMs);
}

/** The slot of the old attempt is free, and with the other host draining the woken one takes the next session. */
async function servesAgain(host: string, other: string, profile: string, id: string): Promise<void> {
  await until(
    async () => {
      const hosts = await scene.hosts();
      const slots = hosts.find((one) => one.hostId === host)?.processes.flatMap(({ slots }: Json) => slots);
      return slots?.every(({ sessionId }: Json) => sessionId !== id) === true;
    },
    { timeoutMs: PATIENCE_MS, what: `${host} is registered, and no slot of it has the session` },
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
