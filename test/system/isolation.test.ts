// The isolation of sessions of one profile, and files that exit.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { processIdentity } from "../../cli/supervisor/processes.ts";
import { cpuTimes } from "../../services/agent-host/pool/proc-stat.ts";
import { expectNothingLeft } from "../kit/checks/nothing-left.ts";
import { openScene, PATIENCE_MS, type Scene } from "../kit/stack/scene.ts";
import { type Visitor, visit } from "../kit/stack/visitor.ts";
import { until } from "../kit/until.ts";

let scene: Scene;
const visitors: Visitor[] = [];

beforeAll(async () => {
  scene = await openScene({
    agents: ["isolated-process", "isolated-module", "isolated-shared", "isolated-by-default", "burns"],
    env: { GREENROOM_MIN_PROCESSES_PER_PROFILE: "1" },
  });
  for (const profile of ["isolated-process", "isolated-module", "isolated-shared"])
    await scene.pool(profile, { idle: 2 });
  await scene.pool("isolated-by-default", { idle: 3 });
  await scene.pool("burns", { idle: 3 });
});
afterEach(async () => {
  await Promise.all(visitors.splice(0).map((visitor) => visitor.leave()));
  await expectNothingLeft(scene);
});
afterAll(() => scene?.stop());

interface Call {
  readonly id: string;
  readonly visitor: Visitor;
}

async function call(profile: string, account: string): Promise<Call> {
  const answer = await scene.start({ profile, metadata: { account } });
  const visitor = await visit(answer);
  visitors.push(visitor);
  return { id: answer.sessionId, visitor };
}

/** The account that the agent of a call has in its memory, and its process. */
async function ask({ visitor }: Call): Promise<{ account: string; pid: number }> {
  const agent = await until(() => visitor.others()[0], {
    timeoutMs: PATIENCE_MS,
    what: "the agent is there",
  });
  return JSON.parse(await visitor.call(agent.identity, "account", ""));
}

async function callsOf(profile: string) {
  const calls = [await call(profile, "ann"), await call(profile, "bob"), await call(profile, "cem")];
  const answers = await Promise.all(calls.map(ask));
  return { calls, accounts: answers.map(({ account }) => account), pids: answers.map(({ pid }) => pid) };
}

describe("process isolation", () => {
  test("gives each session a process of its own, which ends with it and is replaced", async () => {
    const { calls, accounts, pids } = await callsOf("isolated-process");
    expect(accounts).toEqual(["ann", "bob", "cem"]);
    expect(new Set(pids).size).toBe(3);
    for (const { id } of calls) await scene.end(id);
    await until(() => pids.every((pid) => processIdentity(pid) === undefined), {
      timeoutMs: PATIENCE_MS,
      what: "the processes of the calls are gone",
    });
    await scene.pool("isolated-process", { idle: 2 });
  });
});

describe("a file without a pool export, and no setting", () => {
  test("gives each session a process, and so variables, of its own", async () => {
    expect((await scene.hosts())[0].profiles["isolated-by-default"]).toMatchObject({ isolation: "process" });
    const { accounts, pids } = await callsOf("isolated-by-default");
    expect(accounts).toEqual(["ann", "bob", "cem"]);
    expect(new Set(pids).size).toBe(3);
  });
});

describe("module isolation", () => {
  test("gives each session variables of its own in one process", async () => {
    const { accounts, pids } = await callsOf("isolated-module");
    expect(accounts).toEqual(["ann", "bob", "cem"]);
    expect(new Set(pids).size).toBe(1);
  });
});

describe("shared isolation", () => {
  test("shares the variables of the file", async () => {
    const { accounts, pids } = await callsOf("isolated-shared");
    expect(accounts).toEqual(["cem", "cem", "cem"]);
    expect(new Set(pids).size).toBe(1);
  });
});

test.each(["isolated-process", "isolated-module", "isolated-shared"])(
  "ends only the session of %s whose file exits",
  async (profile) => {
    const { calls } = await callsOf(profile);
    const [first, ...others] = calls as [Call, ...Call[]];
    expect(await scene.end(first.id)).toMatchObject({ endedReason: "completed", attempt: 1, failures: 0 });
    await scene.logged(first.id, "the shutdown callback ran");
    for (const other of others) {
      await ask(other);
      expect(await scene.session(other.id)).toMatchObject({ state: "ready", attempt: 1 });
    }
  },
);

/** The share of the time in which the main thread of a process runs, in the next two seconds. */
async function busyShare(pid: number): Promise<number> {
  const before = cpuTimes(pid)?.ranMs ?? 0;
  await new Promise((resolve) => setTimeout(resolve, 2000));
  return ((cpuTimes(pid)?.ranMs ?? 0) - before) / 2000;
}

describe("an agent file that computes", () => {
  test("is prewarmed in another process than the one of a call", async () => {
    const { sessionId } = await scene.start({ profile: "burns" });
    const before = (await scene.slotOf(sessionId))?.agentProcess;
    await scene.pool("burns", { idle: 3 });
    const after = (await scene.slotOf(sessionId))?.agentProcess;
    expect(after).toMatchObject({ pid: before.pid });
    const ids = before.slots.map(({ id }: { id: string }) => id);
    for (const { id } of after.slots) expect(ids).toContain(id);
    await scene.end(sessionId);
  });

  test("takes its intervals with it at the end of a job", async () => {
    await scene.pool("burns", { idle: 3 });
    const { sessionId } = await scene.start({ profile: "burns", metadata: { leaves: "an interval" } });
    const { pid } = (await scene.slotOf(sessionId))?.agentProcess ?? {};
    const during = await busyShare(pid);
    await scene.end(sessionId);
    await scene.pool("burns", { idle: 3 });
    await until(async () => (await busyShare(pid)) < during / 4, {
      timeoutMs: PATIENCE_MS,
      what: "the process rests",
    });
    expect(processIdentity(pid)).toBeDefined();
  });

  test.each([
    ["timers that compute", "timers", /^an agent process stayed busy after its sessions, /],
    ["timers that block", "pauses", /^an agent process lagged by \d{3} ms after its sessions, /],
  ] as const)("gets a new process when a job has left %s, and health names it", async (_, leaves, fault) => {
    const { sessionId } = await scene.start({ profile: "burns", metadata: { leaves } });
    const { pid } = (await scene.slotOf(sessionId))?.agentProcess ?? {};
    await scene.end(sessionId);
    await until(() => processIdentity(pid) === undefined, {
      timeoutMs: PATIENCE_MS,
      what: "the process is replaced",
    });
    await scene.pool("burns", { idle: 3 });
    const burns = async () => (await scene.health()).profiles.burns;
    await until(async () => fault.test((await burns()).error), {
      timeoutMs: PATIENCE_MS,
      what: `health has ${fault}`,
    });
    expect((await burns()).status).toBe("running");
  });
});
