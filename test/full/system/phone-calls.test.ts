// Telephone calls with a warm agent in the room, on real servers and processes, with a stand-in for LiveKit SIP.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { launches } from "../../../libs/contracts/buckets.ts";
import type { LaunchRecord } from "../../../libs/contracts/providers/provider.ts";
import { expectNothingLeft } from "../../kit/checks/nothing-left.ts";
import { type SipStandIn, startSipStandIn, type Telephone, TRUNK } from "../../kit/fakes/sip.ts";
import { openScene, PATIENCE_MS, type Scene } from "../../kit/stack/scene.ts";
import type { Json } from "../../kit/stack/stack.ts";
import { until } from "../../kit/until.ts";

let scene: Scene;
let sip: SipStandIn;
beforeAll(async () => {
  scene = await openScene({
    agents: ["calls", "tone", "patient"],
    tasks: 1,
    env: { GREENROOM_TASK_RATE: "20", GREENROOM_POOL_MIN: "1", GREENROOM_SIP_TRUNK: TRUNK },
  });
  const { livekit } = scene.stack;
  if (livekit === undefined) throw new Error("There is no LiveKit");
  sip = await startSipStandIn(livekit);
  for (let i = 0; i < 2; i++) await scene.stack.spawnService("providers", { LIVEKIT_URL: sip.url });
});
afterEach(() => expectNothingLeft(scene));
afterAll(async () => {
  await sip?.close();
  await scene?.stop();
});

let numbers = 100;
/** Returns a new number. */
const number = (): string => `+1555${String(++numbers).padStart(4, "0")}`;

async function call(to: string, profile = "calls"): Promise<string> {
  const body = { to, from: "+15550199", profile, provider: "sip", retry: { maxAttempts: 1 } };
  const answer = await scene.stack.post("/api/tasks", body);
  expect(answer.status, JSON.stringify(answer.body)).toBe(202);
  return answer.body.taskId;
}

async function taskWhen(id: string, ...states: string[]): Promise<Json> {
  let seen: Json;
  return await until(
    async () => {
      seen = (await scene.stack.get(`/api/tasks/${id}`)).body;
      return states.includes(seen.state) ? seen : undefined;
    },
    {
      timeoutMs: PATIENCE_MS,
      everyMs: 50,
      what: () => `task ${id} is ${states.join(" or ")}; it is ${JSON.stringify(seen)}`,
    },
  );
}

async function launchWhen(taskId: string, is: (launch: LaunchRecord) => boolean): Promise<LaunchRecord> {
  let seen: LaunchRecord | undefined;
  return await until(
    async () => {
      const [entry] = await scene.bus.kv.entries(launches, `default.${taskId}-1.*`);
      seen = entry?.value;
      return seen !== undefined && is(seen) ? seen : undefined;
    },
    {
      timeoutMs: PATIENCE_MS,
      everyMs: 50,
      what: () => `the launch is in the wanted state: ${JSON.stringify(seen)}`,
    },
  );
}

const telephoneOf = (to: string): Promise<Telephone> =>
  until(() => sip.telephones.find((one) => one.to === to), {
    timeoutMs: PATIENCE_MS,
    what: () => `${to} is called; called: ${sip.telephones.map((one) => one.to).join(", ")}`,
  });

const answered = (telephone: Telephone): Promise<number> =>
  until(() => telephone.answeredAtMs, { timeoutMs: PATIENCE_MS, what: "the call is answered" });

const heard = (telephone: Telephone): Promise<boolean> =>
  until(() => telephone.sounds.length >= 20, {
    timeoutMs: PATIENCE_MS,
    what: () => `the agent is heard; frames so far: ${telephone.sounds.length}`,
  });

describe("a phone call", () => {
  test("delays the agent's greeting while the telephone rings, and plays all of it after the answer", async () => {
    const to = number();
    sip.behave(to, { ringMs: Number.POSITIVE_INFINITY });
    const id = await call(to);
    const telephone = await telephoneOf(to);
    expect(telephone).toMatchObject({
      trunk: TRUNK,
      from: "+15550199",
      identity: `phone-${id}-1`,
      ringS: 45,
    });
    // The agent is in the room before the call is dialed.
    await taskWhen(id, "ringing");
    expect(telephone.found).toEqual([`agent-${id}-1-1`]);
    await launchWhen(id, ({ call: line }) => line?.status === "ringing");
    // An agent that considers itself speaking would send captions.
    const agent = (await scene.rooms.participants(telephone.room)).find(({ isAgent }) => isAgent);
    expect(agent?.attributes?.["lk.agent.state"]).toBe("listening");
    // Long enough to hear an agent that does not wait.
    await new Promise((resolve) => setTimeout(resolve, 3000));
    telephone.pickUp();
    const answeredAtMs = await answered(telephone);
    expect(telephone.sounds.filter(({ atMs }) => atMs < answeredAtMs)).toEqual([]);
    expect((await scene.logs(`${id}-1`)).map(({ message }) => message)).not.toContain(
      "the greeting was said",
    );
    await heard(telephone);
    await taskWhen(id, "inProgress");
    await scene.logged(`${id}-1`, "the greeting was said");
    // The callee hears the whole second of tone, so no part was played before the answer.
    await until(() => telephone.sounds.length * 10 > 800, {
      timeoutMs: PATIENCE_MS,
      what: () => `the greeting is heard; frames so far: ${telephone.sounds.length}`,
    });
    await telephone.hangUp();
    expect((await taskWhen(id, "completed")).attempts).toHaveLength(1);
    expect(await scene.ended(`${id}-1`)).toMatchObject({ endedReason: "completed" });
    expect(await launchWhen(id, ({ state }) => state === "over")).toMatchObject({
      attempt: 1,
      identity: telephone.identity,
    });
    expect(sip.telephones.filter((one) => one.to === to)).toHaveLength(1);
  });

  test("silences a file that plays its own sound, and serves a file that waits for its callee", async () => {
    const [tone, patient] = [number(), number()];
    for (const to of [tone, patient]) sip.behave(to, { ringMs: 1500 });
    const ids = await Promise.all([call(tone, "tone"), call(patient, "patient")]);
    const [loud, quiet] = await Promise.all([telephoneOf(tone), telephoneOf(patient)]);
    const answeredAtMs = await answered(loud);
    expect(loud.sounds.filter(({ atMs }) => atMs < answeredAtMs)).toEqual([]);
    await heard(loud);
    await answered(quiet);
    await scene.logged(`${ids[1]}-1`, `phone-${ids[1]}-1 is there, and the line is active`);
    await Promise.all([loud.hangUp(), quiet.hangUp()]);
    for (const id of ids) await taskWhen(id, "completed");
  });

  test("continues with the next agent after the answer, which is heard at once, without another call", async () => {
    const to = number();
    const id = await call(to, "tone");
    const telephone = await telephoneOf(to);
    await heard(telephone);
    const pid = (await scene.slotOf(`${id}-1`))?.agentProcess.pid;
    process.kill(pid, "SIGKILL");
    await until(() => telephone.sounds.some(({ from }) => from === `agent-${id}-1-2`), {
      timeoutMs: PATIENCE_MS,
      what: "the next agent is heard",
    });
    expect(await launchWhen(id, ({ call: line }) => line?.status === "answered")).toMatchObject({
      attempt: 1,
    });
    await telephone.hangUp();
    await taskWhen(id, "completed");
    expect(await scene.ended(`${id}-1`)).toMatchObject({ endedReason: "completed", attempt: 2 });
    expect(sip.telephones.filter((one) => one.to === to)).toHaveLength(1);
  });

  test("ends the session with the carrier's code when the callee is busy", async () => {
    const to = number();
    sip.behave(to, { ringMs: 300, refuses: { code: 486, reason: "Busy Here" } });
    const id = await call(to);
    const task = await taskWhen(id, "busy");
    expect(task.attempts[0]).toMatchObject({ sipCode: 486, error: { code: "busy" } });
    expect(await scene.ended(`${id}-1`)).toMatchObject({ state: "ended" });
    expect(await launchWhen(id, ({ state }) => state === "over")).toMatchObject({
      call: { status: "busy", sipCode: 486, providerReason: "SIP 486 Busy Here" },
    });
    expect(sip.telephones.filter((one) => one.to === to)).toHaveLength(1);
  });

  test("keeps ringing while its providers service is killed, and is not dialed again", async () => {
    const to = number();
    sip.behave(to, { ringMs: Number.POSITIVE_INFINITY });
    const id = await call(to);
    const telephone = await telephoneOf(to);
    const { by } = await launchWhen(id, ({ call: line }) => line?.status === "ringing");
    const alive = scene.stack.children.filter(({ hasEnded }) => !hasEnded);
    const owner = alive.find((child) => child.logs().some(({ instance }) => instance === by));
    await owner?.kill9();
    expect(owner, by).toBeDefined();
    await launchWhen(id, (launch) => launch.by !== by && launch.takeovers === 1);
    telephone.pickUp();
    await answered(telephone);
    await heard(telephone);
    await launchWhen(id, ({ call: line }) => line?.status === "answered");
    await telephone.hangUp();
    await taskWhen(id, "completed");
    expect(sip.telephones.filter((one) => one.to === to)).toHaveLength(1);
  });
});
