// Agents that fail, hang or grow, of which only one session suffers, with a reason that clients can read.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { processIdentity } from "../../cli/supervisor/processes.ts";
import { expectNothingLeft } from "../kit/checks/nothing-left.ts";
import { askTroubled, lifeOf, openScene, PATIENCE_MS, reasonsOf, type Scene } from "../kit/stack/scene.ts";
import { visit } from "../kit/stack/visitor.ts";
import { until } from "../kit/until.ts";

let scene: Scene;
beforeAll(async () => {
  scene = await openScene({
    agents: ["quick", "troubled", "throws-on-load", "throws-in-prewarm", "needs-key"],
    env: {
      GREENROOM_PROCESS_MEMORY_MB: "900",
      // All idle agents share one process, so that damage to the process would hit a neighbor.
      GREENROOM_MIN_PROCESSES_PER_PROFILE: "1",
    },
  });
  await scene.pool("quick", { idle: 3 });
  await scene.pool("troubled", { idle: 3 });
});
afterEach(() => expectNothingLeft(scene));
afterAll(() => scene?.stop());

/** Waits until the output of the host contains the text. */
const printed = (text: string) =>
  until(() => scene.stack.child("agent-host-1").text().includes(text), {
    timeoutMs: PATIENCE_MS,
    what: `the host logs "${text}"`,
  });

describe("an agent's failure", () => {
  test("is retried twice when entry always throws, and shows its error in the history and the log", async () => {
    const neighbor = await scene.start({ profile: "troubled" });
    const id = await askTroubled(scene, "throw", { attempts: 99 });
    const session = await scene.ended(id);
    expect(session).toMatchObject({ endedReason: "agent_error", fault: "agent", attempt: 3, failures: 3 });
    expect(reasonsOf(session)).toEqual(Array(3).fill("Error: the agent's provider said no"));
    for (const attempt of [1, 2, 3]) expect(await scene.job(id, attempt)).toMatchObject({ attempt });
    expect(await scene.logged(id, "the agent's code failed")).toContain("the agent's provider said no");
    await printed("the agent's provider said no");
    expect(await scene.session(neighbor.sessionId)).toMatchObject({ state: "ready", attempt: 1 });
  });

  test("is retried when entry throws once, and the second attempt serves", async () => {
    const answer = await scene.start({ profile: "troubled", metadata: { fault: "throw" } });
    expect(answer).toMatchObject({ attempt: 2 });
    const session = await scene.session(answer.sessionId);
    expect(session).toMatchObject({ failures: 1, recovering: false });
    expect(lifeOf(session)).toEqual(expect.arrayContaining(["dispatched 1", "requested 2", "ready 2"]));
    expect(await scene.rooms.participants(answer.room)).toMatchObject([
      { identity: `agent-${answer.sessionId}-2`, isAgent: true },
    ]);
  });

  test("costs its session no attempt when the host can't reach LiveKit", async () => {
    const answer = await scene.start({ profile: "troubled", metadata: { fault: "no route" } });
    const session = await scene.session(answer.sessionId);
    expect(session).toMatchObject({ state: "ready", attempt: 2, failures: 0 });
    expect(reasonsOf(session)[0]).toContain("signal failure");
  });

  test("is retried for a TypeError, which a failed fetch throws too", async () => {
    const answer = await scene.start({ profile: "troubled", metadata: { fault: "throw TypeError" } });
    expect(answer).toMatchObject({ attempt: 2 });
    const session = await scene.session(answer.sessionId);
    expect(reasonsOf(session)[0]).toMatch(/^TypeError: Cannot read properties of undefined/);
  });

  test("is not retried when the error is marked as not retryable", async () => {
    const id = await askTroubled(scene, "throw for good", { attempts: 99 });
    const session = await scene.ended(id);
    expect(session).toMatchObject({ endedReason: "agent_error", fault: "agent", attempt: 1, failures: 1 });
    expect(reasonsOf(session)[0]).toBe("Error: the key is wrong");
  });

  test("is not retried when a key is missing, and health shows the error until a session is ready", async () => {
    const id = await askTroubled(scene, "throw for a key", { attempts: 99 });
    expect(await scene.ended(id)).toMatchObject({ endedReason: "agent_error", attempt: 1, failures: 1 });
    const error = async (): Promise<string | undefined> => (await scene.health()).profiles.troubled.error;
    await until(async () => (await error())?.includes("API key is required"), {
      timeoutMs: PATIENCE_MS,
      what: "health shows the error",
    });
    const { sessionId } = await scene.start({ profile: "troubled" });
    await until(async () => (await error()) === undefined, {
      timeoutMs: PATIENCE_MS,
      what: "health shows no error",
    });
    await scene.end(sessionId);
  });

  test("is reported to the client that waits for the start", async () => {
    const { status, body } = await scene.ask({
      profile: "troubled",
      wait: 30_000,
      metadata: { fault: "throw for good", attempts: 99 },
    });
    expect(status).toBe(503);
    expect(body).toMatchObject({ success: false, error: { code: "agent_failed" } });
    expect(body.error.message).toContain("the key is wrong");
  });

  test("ends with its own words in the log of each attempt when entry always throws after it was ready", async () => {
    const id = await askTroubled(scene, "throw after ready", { attempts: 99 });
    const session = await scene.ended(id);
    expect(session).toMatchObject({ endedReason: "agent_error", attempt: 3 });
    expect(reasonsOf(session)).toEqual(Array(3).fill("Error: the agent gives up"));
    const attempts = async () =>
      (await scene.logs(id))
        .filter(({ message }) => message === "the agent's code failed: the agent gives up")
        .map(({ attempt }) => attempt);
    await until(async () => (await attempts()).join() === "1,2,3", {
      timeoutMs: PATIENCE_MS,
      what: "the log has the error of each attempt",
    });
  });

  test.each([
    ["throw later", /SyntaxError/],
    ["exit", /^the agent called process\.exit\(7\)$/],
  ])("ends only its own session when it fails after it was ready (%s)", async (fault, reason) => {
    const neighbor = await scene.start({ profile: "troubled" });
    const id = await askTroubled(scene, fault, { attempts: 99 });
    const session = await scene.ended(id);
    expect(session).toMatchObject({ endedReason: "agent_error", attempt: 3 });
    expect(reasonsOf(session)[0]).toMatch(reason);
    expect(await scene.session(neighbor.sessionId)).toMatchObject({ state: "ready", attempt: 1 });
  });

  test("ends its session as usual when it fails while its user hangs up", async () => {
    const answer = await scene.start({ profile: "troubled", metadata: { fault: "throw at hang-up" } });
    const visitor = await visit(answer);
    await until(() => visitor.hears(), { timeoutMs: PATIENCE_MS, what: "the user hears the agent" });
    await visitor.leave();
    expect(await scene.ended(answer.sessionId)).toMatchObject({ endedReason: "completed", attempt: 1 });
    await scene.logged(answer.sessionId, /failed while its user hung up.*the stream is closed/);
  });

  test("is logged and counted when a rejected promise is not awaited, and the session continues", async () => {
    const { sessionId } = await scene.start({ profile: "troubled", metadata: { fault: "reject later" } });
    expect(await scene.logged(sessionId, "unhandled promise rejection")).toContain("nobody awaits this");
    expect(await scene.session(sessionId)).toMatchObject({ state: "ready", attempt: 1, failures: 0 });
    await until(async () => (await scene.hosts())[0].stats.unhandledRejections > 0, {
      timeoutMs: PATIENCE_MS,
      what: "the host counts it",
    });
    await scene.end(sessionId);
  });

  test("ends its session as an agent error when a rejected promise is not awaited and the setting is fail", async () => {
    const strict = await openScene({
      agents: ["troubled"],
      calls: 1,
      env: { GREENROOM_UNHANDLED_REJECTIONS: "fail" },
    });
    try {
      await strict.pool("troubled", { idle: 3 });
      const neighbor = await strict.start({ profile: "troubled" });
      const id = await askTroubled(strict, "reject later", { attempts: 99 });
      const session = await strict.ended(id);
      expect(session).toMatchObject({ endedReason: "agent_error", fault: "agent", attempt: 3, failures: 3 });
      expect(reasonsOf(session)).toEqual(Array(3).fill("Error: nobody awaits this"));
      expect(await strict.session(neighbor.sessionId)).toMatchObject({ state: "ready", attempt: 1 });
    } finally {
      // Not strict.stop(), which removes the agent files of the other scene too.
      await strict.bus.close();
      await strict.stack.stop();
    }
  });

  test("retires the agent process when it belongs to no session, while running sessions continue", async () => {
    const neighbor = await scene.start({ profile: "troubled" });
    const before = (await scene.slotOf(neighbor.sessionId))?.agentProcess.pid;
    const { sessionId } = await scene.start({ profile: "troubled", metadata: { fault: "fail outside" } });
    await printed("this belongs to no session");
    const processes = () => scene.hosts().then(([host]) => host.processes);
    await until(
      async () =>
        (await processes()).some((one: { pid: number; profile: string; slots: { state: string }[] }) => {
          const isOther = one.profile === "troubled" && one.pid !== before;
          return isOther && one.slots.filter(({ state }) => state === "warm").length === 3;
        }),
      { timeoutMs: PATIENCE_MS, what: "another process has three warm agents" },
    );
    for (const id of [neighbor.sessionId, sessionId])
      expect(await scene.session(id)).toMatchObject({ state: "ready", attempt: 1 });
    await scene.end(neighbor.sessionId);
    await scene.end(sessionId);
    await until(() => processIdentity(before) === undefined, {
      timeoutMs: PATIENCE_MS,
      what: "the old process ends with its last session",
    });
  });

  test.each([
    ["hang", /the agent process hung: no answer for \d+ ms/],
    ["grow", /the agent process grew to \d+ MB, past its limit of 900 MB/],
    ["die", /the agent process ended \(SIGKILL\)/],
  ])(
    "replaces the agent process (%s), and its sessions continue in the same rooms",
    async (fault, reason) => {
      const answer = await scene.start({ profile: "troubled", metadata: { fault } });
      // The host may report the next attempt already.
      const { pid } = await scene.job(answer.sessionId);
      const session = await scene.sessionWhen(
        answer.sessionId,
        ({ state, attempt }) => state === "ready" && attempt === 2,
        "is ready again",
      );
      expect(session).toMatchObject({ room: answer.room, recovering: false, failures: 1 });
      expect(reasonsOf(session)[0]).toMatch(reason);
      const next = await scene.job(answer.sessionId, 2);
      expect(next).toMatchObject({ resumed: true });
      expect(next.pid).not.toBe(pid);
      await until(() => processIdentity(pid) === undefined, {
        timeoutMs: PATIENCE_MS,
        what: `the old process ${pid} is gone`,
      });
      await scene.pool("troubled", { idle: 3 });
    },
  );
});

describe("an unusable agent file", () => {
  test("is reported with its error, and harms no other profile", async () => {
    const health = await until(
      async () => {
        const seen = await scene.health();
        const both = ["throws-on-load", "throws-in-prewarm"].every(
          (name) => seen.profiles[name].status === "failed",
        );
        return both ? seen : undefined;
      },
      { timeoutMs: PATIENCE_MS, everyMs: 100, what: "both files have failed for good" },
    );
    expect(health.status).toBe("degraded");
    expect(health.profiles["throws-on-load"].error).toContain("this file fails when it is loaded");
    expect(health.profiles["throws-in-prewarm"].error).toContain("the model file is missing");
    expect(health.profiles["needs-key"]).toMatchObject({ status: "disabled" });
    expect(health.profiles["needs-key"].error).toContain("KEY_THAT_NOBODY_HAS must be set");
    expect(health.profiles.quick).toMatchObject({ status: "running" });
    for (const error of ["this file fails when it is loaded", "the model file is missing"])
      await printed(error);

    for (const profile of ["throws-on-load", "throws-in-prewarm", "needs-key"]) {
      const refused = await scene.ask({ profile });
      expect(refused.status).toBe(503);
      expect(refused.body.error).toMatchObject({ code: "profile_unavailable" });
      expect(refused.body.error.message).toContain(health.profiles[profile].error);
    }
    await scene.start({ profile: "quick" });
  });
});
