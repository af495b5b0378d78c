// Hosts that an operator drains, and a rolling restart of every service, while callers keep hearing an agent.
import { randomUUID } from "node:crypto";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { ProcessName } from "../../libs/contracts/fleet/pool.ts";
import { type Listener, listenIn } from "../kit/stack/listener.ts";
import { openScene, PATIENCE_MS, type Scene } from "../kit/stack/scene.ts";
import type { ServiceProcess } from "../kit/stack/service-process.ts";
import type { Json } from "../kit/stack/stack.ts";
import { until } from "../kit/until.ts";

let scene: Scene;
beforeAll(async () => {
  scene = await openScene({
    agents: ["tone"],
    hosts: 2,
    gateways: 2,
    dispatchers: 2,
    janitors: 2,
    env: { GREENROOM_DRAIN_TIMEOUT_MS: "0", GREENROOM_RATE_LIMIT: "0" },
  });
  await twoHostsAreWarm();
});
const calls: Call[] = [];
afterEach(async () => {
  for (const { answer, ears } of calls.splice(0)) {
    await scene.end(answer.sessionId);
    await ears.leave();
  }
});
afterAll(() => scene?.stop());

interface Call {
  readonly answer: Json;
  readonly ears: Listener;
}

async function openCall(): Promise<Call> {
  const answer = await scene.start({ profile: "tone" });
  const call = { answer, ears: await listenIn(answer) };
  calls.push(call);
  await isHeard(call);
  return call;
}

/** Waits for new sound of the present agent. */
async function isHeard({ answer, ears }: Call): Promise<void> {
  const { attempt } = await scene.session(answer.sessionId);
  const after = ears.sounds.length;
  const identity = `agent-${answer.sessionId}-${attempt}`;
  await until(() => ears.sounds.slice(after).filter(({ from }) => from === identity).length > 20, {
    timeoutMs: PATIENCE_MS,
    what: () => `${identity} is heard; ${ears.describe()}`,
  });
}

const twoHostsAreWarm = () =>
  until(
    async () => {
      const hosts = (await scene.hosts()).filter(({ draining }) => !draining);
      return hosts.length === 2 && hosts.every(({ profiles }) => profiles.tone?.warm > 0);
    },
    { timeoutMs: PATIENCE_MS, what: "two hosts have warm agents" },
  );
const hostById = async (id: string): Promise<Json> =>
  (await scene.hosts()).find((host: Json) => host.hostId === id);
const undrain = async (id: string) => {
  const answer = await fetch(`${scene.stack.url}/api/hosts/${id}/drain`, { method: "DELETE" });
  expect(answer.status).toBe(200);
};

describe("host drain", () => {
  test("migrates sessions to the other host without a failure, and keeps the host empty until it is undone", async () => {
    const call = await openCall();
    const { host } = await scene.session(call.answer.sessionId);
    const answer = await scene.stack.post(`/api/hosts/${host}/drain`, { deadlineS: 0 });
    expect(answer.status).toBe(202);
    expect(answer.body).toMatchObject({ host, draining: true, sessions: 1 });
    const after = await scene.sessionWhen(
      call.answer.sessionId,
      ({ state, attempt }) => state === "ready" && attempt === 2,
      "is ready at the other host",
    );
    expect(after).toMatchObject({ room: call.answer.room, failures: 0, recovering: false });
    expect(after.host).not.toBe(host);
    expect(after.history.find((step: Json) => step.attempt === 2).reason).toBe(`host ${host} drains`);
    expect(await scene.job(call.answer.sessionId, 2)).toMatchObject({ resumed: true });
    await isHeard(call);
    expect(call.ears.isOut()).toBe(false);
    await until(() => call.ears.others().join() === `agent-${call.answer.sessionId}-2`, {
      timeoutMs: PATIENCE_MS,
      what: "only the second agent is in the room",
    });
    await until(async () => (await hostById(host)).sessions === 0, {
      timeoutMs: PATIENCE_MS,
      what: "the drained host serves no session",
    });
    expect(await hostById(host)).toMatchObject({ draining: true });
    await undrain(host);
    await twoHostsAreWarm();
  });

  test("leaves sessions on the host when it waits, and assigns no new ones", async () => {
    const call = await openCall();
    const { host } = await scene.session(call.answer.sessionId);
    await scene.stack.post(`/api/hosts/${host}/drain`, { deadlineS: 0, onDeadline: "wait" });
    const others = [await openCall(), await openCall()];
    for (const { answer } of others) expect((await scene.session(answer.sessionId)).host).not.toBe(host);
    await isHeard(call);
    expect(await scene.session(call.answer.sessionId)).toMatchObject({ state: "ready", attempt: 1, host });
    await undrain(host);
    await twoHostsAreWarm();
  });

  test("answers 404 for an unknown host", async () => {
    const { status, body } = await scene.stack.post("/api/hosts/nobody/drain", { deadlineS: 0 });
    expect(status).toBe(404);
    expect(body.error.message).toMatch(/No host "nobody".*host-1/);
  });
});

describe("rolling restart", () => {
  test("loses no session and no call, and starts succeed throughout", async () => {
    const ongoing = [await openCall(), await openCall()];
    const load = steadyStarts();
    const roles =
      scene.stack.shape === "control" ? ["control" as const] : (["dispatcher", "janitor"] as const);
    for (const service of ["gateway", ...roles, "agent-host"] as const) {
      const old = scene.stack.children.filter((child) => child.service === service && !child.hasEnded);
      expect(old).toHaveLength(2);
      for (const [i, child] of old.entries()) await replace(service, child, scene.stack.urls[i] ?? "");
    }
    const started = await load.stop();
    expect(started.length).toBeGreaterThan(3);
    for (const id of started) expect((await scene.ended(id)).endedReason).toBe("completed");
    for (const call of ongoing) {
      const { sessionId } = call.answer;
      // The last host exits when the next agent has joined, which is ready a moment later.
      const session = await scene.sessionWhen(sessionId, ({ state }) => state === "ready", "is ready");
      expect(session).toMatchObject({ failures: 0 });
      expect(call.ears.isOut()).toBe(false);
      await isHeard(call);
    }
  }, 300_000);
});

/** Replaces a process like a deploy: a new host starts before the old one stops, and a new gateway keeps the address. */
async function replace(service: ProcessName, old: ServiceProcess, url: string): Promise<void> {
  if (service === "agent-host") {
    await scene.stack.spawnService(service);
    // A host that has ended stays in the list for a moment, as a draining one.
    const isWarm = ({ draining, profiles }: Json) => !draining && profiles.tone?.warm > 0;
    await until(async () => (await scene.hosts()).filter(isWarm).length > 2, {
      timeoutMs: PATIENCE_MS,
      what: "the new host has warm agents",
    });
  }
  old.signal("SIGTERM");
  await until(() => old.hasEnded, { timeoutMs: PATIENCE_MS, what: `${old.name} ends` });
  expect(old.exitCode, `output of ${old.name}:\n${old.text()}`).toBe(0);
  if (service === "agent-host") return;
  await scene.stack.spawnService(service, service === "gateway" ? { GREENROOM_PORT: new URL(url).port } : {});
}

/** Starts and ends one session after the other, and retries failed requests at the other gateway. */
function steadyStarts(): { stop(): Promise<string[]> } {
  const started: string[] = [];
  let isOver = false;
  const starting = (async () => {
    while (!isOver) {
      const { sessionId } = await startAnywhere();
      started.push(sessionId);
      await until(() => tryAnywhere(`/api/session/${sessionId}/end`, {}), {
        timeoutMs: PATIENCE_MS,
        what: "a gateway accepts the end",
      });
    }
  })();
  starting.catch(() => {});
  return {
    async stop() {
      isOver = true;
      await starting;
      return started;
    },
  };
}

async function startAnywhere(): Promise<Json> {
  const key = randomUUID();
  return await until(
    async () => {
      const body = await tryAnywhere("/api/session/start", { profile: "tone", wait: 10_000 }, key);
      return body?.status === "ready" ? body : undefined;
    },
    { timeoutMs: PATIENCE_MS, everyMs: 100, what: "a start succeeds" },
  );
}

/** Returns the first successful answer of a gateway, undefined if none succeeds. */
async function tryAnywhere(path: string, body: object, key?: string): Promise<Json> {
  for (const url of scene.stack.urls) {
    try {
      const answer = await fetch(url + path, {
        method: "POST",
        headers: {
          "content-type": "application/json",
          ...(key === undefined ? {} : { "idempotency-key": key }),
        },
        body: JSON.stringify(body),
      });
      if (answer.ok) return await answer.json();
    } catch {
      // The gateway is being replaced; the other one is up.
    }
  }
  return undefined;
}
