// The tools for operators: `npm run doctor`, `npm run inspect` and metrics, on a real stack.
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectNats } from "nats";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { natsServer } from "../../../cli/servers/binary-specs.ts";
import { freePort } from "../../../cli/servers/ports.ts";
import { deadLetters } from "../../../libs/contracts/streams.ts";
import { messagesOn } from "../../kit/read-messages.ts";
import { binaryOf, ServerProcess } from "../../kit/servers/server-process.ts";
import { startNats } from "../../kit/servers/servers.ts";
import { agentsDir, removeAgentsDirs } from "../../kit/stack/agents-dir.ts";
import { runDoctor, runTool } from "../../kit/stack/run-tool.ts";
import { openScene, PATIENCE_MS, type Scene } from "../../kit/stack/scene.ts";
import type { ServiceProcess } from "../../kit/stack/service-process.ts";
import type { Json } from "../../kit/stack/stack.ts";
import { until } from "../../kit/until.ts";

let scene: Scene;
let dir: string;
const metricsUrls: Record<string, string> = {};
let env: Record<string, string>;
let dispatcher: ServiceProcess;

beforeAll(async () => {
  // The dispatcher and the host serve their metrics, each on a port of its own.
  scene = await openScene({ agents: ["quick"], dispatchers: 0, hosts: 0 });
  const { stack } = scene;
  for (const service of ["dispatcher", "agent-host"] as const) {
    const port = await freePort();
    metricsUrls[service] = `http://127.0.0.1:${port}/metrics`;
    const process = await stack.spawnService(service, { GREENROOM_METRICS_PORT: String(port) });
    if (service === "dispatcher") dispatcher = process;
  }
  dir = await mkdtemp(join(tmpdir(), "greenroom-doctor-"));
  env = {
    NATS_URL: stack.natsUrl,
    GREENROOM_NATS_MONITOR_URL: stack.nats.monitorUrl,
    GREENROOM_REPLICAS: String(stack.nats.replicas ?? 1),
    LIVEKIT_URL: stack.livekit!.url,
    LIVEKIT_API_KEY: stack.livekit!.apiKey,
    LIVEKIT_API_SECRET: stack.livekit!.apiSecret,
    GREENROOM_AGENTS_DIR: agentsDir("quick"),
    GREENROOM_PORT: new URL(stack.url).port,
    GREENROOM_DATA_DIR: dir,
  };
});
afterAll(async () => {
  await scene?.stop();
  removeAgentsDirs();
  await rm(dir, { recursive: true, force: true });
});

describe("the doctor", () => {
  test("finds no fault in a good stack, places a call, and leaves nothing behind", async () => {
    await scene.pool("quick", { idle: 3 });
    const streamsBefore = await streamNames();
    const answer = await runDoctor(env);

    expect(answer.named("failure"), JSON.stringify(answer.checks)).toEqual([]);
    expect(answer.exitCode).toBe(0);
    const onNats = [
      "nats",
      "nats-rights",
      "jetstream",
      "nats-store",
      "nats-streams",
      "nats-backlog",
      "nats-sync",
      "services",
      "hosts",
      "pools",
    ];
    const onLiveKit = ["livekit", "clocks", "livekit-audio", "livekit-webhooks"];
    expect(answer.named("ok")).toEqual(
      expect.arrayContaining([...onNats, ...onLiveKit, "settings", "node", "ports", "agents", "keys"]),
    );
    expect(answer.findingsOf("livekit-audio")).toContain("heard each other's tone");
    expect(answer.findingsOf("livekit")).toContain("livekit-server 1.");
    expect(await streamNames()).toEqual(streamsBefore);
    expect((await scene.rooms.list()).filter(({ name }) => name.startsWith("doctor-"))).toEqual([]);
    expect((await scene.stack.get("/api/dead-letters")).body.deadLetters).toEqual([]);
  });

  test("reports a wrong LiveKit secret and a broken agent file, and nothing else", async () => {
    const agents = join(dir, "agents");
    await mkdir(agents);
    await writeFile(join(agents, "broken.ts"), "throw new Error('its author was tired');\n");
    await writeFile(join(agents, "stranger.ts"), "export default 42;\n");
    await symlink(join(env.GREENROOM_AGENTS_DIR ?? "", "quick.ts"), join(agents, "quick.ts"));
    const answer = await runDoctor({
      ...env,
      LIVEKIT_API_SECRET: "this-is-not-the-secret-of-that-key-at-all",
      GREENROOM_AGENTS_DIR: agents,
    });

    expect(answer.exitCode).toBe(1);
    expect(answer.named("failure")).toEqual(["livekit", "agents"]);
    expect(answer.named("skipped")).toEqual(expect.arrayContaining(["livekit-audio", "livekit-webhooks"]));
    expect(answer.findingsOf("livekit")).toContain("rejects the key");
    expect(answer.findingsOf("agents")).toContain("its author was tired");
    expect(answer.findingsOf("agents")).toContain("stranger.ts has no agent, so it is no profile");
    expect(JSON.stringify(answer)).not.toContain("this-is-not-the-secret");
  });

  test("reports a NATS without JetStream, missing permissions, and a taken port", async () => {
    const port = await freePort();
    const config = join(dir, "bare.conf");
    await writeFile(
      config,
      `listen: "127.0.0.1:${port}"
authorization { users: [{ user: doctor, password: "none", permissions: { publish: { deny: ["session.>"] } } }] }
no_auth_user: doctor
`,
    );
    const binary = await binaryOf(natsServer);
    const server = await ServerProcess.start("nats-server", binary, ["-c", config], () => isListening(port));
    try {
      const answer = await runDoctor({
        ...env,
        NATS_URL: `nats://127.0.0.1:${port}`,
        GREENROOM_NATS_MONITOR_URL: undefined,
        GREENROOM_PORT: String(port),
      });
      expect(answer.exitCode).toBe(1);
      expect(answer.named("failure")).toEqual(["ports", "services", "nats-rights", "jetstream"]);
      expect(answer.findingsOf("ports")).toContain("in use by nats-server");
      expect(answer.findingsOf("nats-rights")).toContain("session.doctor-tries");
      expect(answer.named("skipped")).toEqual(
        expect.arrayContaining(["nats-store", "nats-streams", "nats-backlog", "nats-sync"]),
      );
    } finally {
      await server.end("SIGTERM");
    }
  });
});

describe("inspect, for a session whose agent was killed once", () => {
  /** Looks like a token. */
  const token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJub2JvZHkifQ.bm8tc2lnbmF0dXJl";
  let id: string;
  const inspect = (...args: string[]) => runTool("inspect", args, env);

  beforeAll(async () => {
    id = (await scene.start({ profile: "quick", metadata: { plan: "gold", token } })).sessionId;
    const slot = await scene.slotOf(id);
    process.kill(slot?.agentProcess.pid, "SIGKILL");
    await scene.sessionWhen(id, ({ state, attempt }) => state === "ready" && attempt === 2, "is ready again");
    await poison(`session.default.${id}.nonsense`);
    const secondLine = async () =>
      (await scene.logs(id)).some(
        ({ message, attempt }) => message === "the session is open" && attempt === 2,
      );
    await until(secondLine, { timeoutMs: PATIENCE_MS, what: "the second agent has logged" });
  });

  test("prints events in order, the commands of each revision, and the present state", async () => {
    const { exitCode, text } = await inspect(id);
    expect(exitCode, text).toBe(0);
    const found = [
      "event: requested",
      "saved: requested → dispatched, attempt 1",
      "command assign: host host-1",
      "event: ready, attempt 1",
      "saved: ready, attempt 1",
      "event: agent_lost, attempt 1",
      "saved: requested → dispatched, attempt 2",
      `command remove participant: room session-${id}, identity agent-${id}-1`,
      "saved: ready, attempt 2",
      "Time in each state",
      "Now:",
      `agent-${id}-2 (agent)`,
      "is busy with attempt 2",
    ].map((words) => [words, text.indexOf(words)] as const);
    for (const [words, index] of found) expect(index, `${words} in\n${text}`).toBeGreaterThanOrEqual(0);
    expect(found.map(([, index]) => index)).toEqual(found.map(([, index]) => index).sort((a, b) => a - b));
    expect(text).toContain("log warn: the session is open (attempt 2)");
    expect(text).toContain(`DEAD LETTER on session.default.${id}.nonsense`);
    expect(text).toContain("metadata plan, token");
    expect(text).not.toContain(scene.stack.livekit!.apiSecret);
    expect(text).not.toContain("eyJ");
  });

  test("finds the session by the start of its id, and prints JSON", async () => {
    const { exitCode, text } = await inspect(id.slice(0, -2), "--json");
    expect(exitCode).toBe(0);
    const overview: Json = JSON.parse(text);
    expect(overview.subject).toEqual({ kind: "session", tenant: "default", id });
    const saved = overview.timeline.filter(({ stream }: Json) => stream === "KV_sessions");
    const revisions = await scene.revisions(id);
    expect(saved.map(({ data }: Json) => `${data.state} ${data.attempt}`)).toEqual(
      revisions.map(({ state, attempt }) => `${state} ${attempt}`),
    );
    expect(overview.steps.at(-1)).toMatchObject({ state: "ready", attempt: 2, host: "host-1" });
    expect(text).not.toContain("eyJ");
  });

  test("prints the end of the session, and what has been deleted since", async () => {
    await scene.end(id);
    // The room, the conversation and the slot go one after the other.
    const isGone = async () => {
      const { text } = await inspect(id);
      return ["LiveKit has no room", "The conversation is deleted", "has no slot for"].every((words) =>
        text.includes(words),
      );
    };
    await until(isGone, { timeoutMs: PATIENCE_MS, everyMs: 500, what: "nothing is left of the session" });
    const { text } = await inspect(`default.${id}`);
    expect(text).toContain("saved: ended, attempt 2 as completed (fault: none)");
    expect(text).toContain("command close room");
    expect(text).toContain("The conversation is deleted");
    expect(text).toContain("has no slot for the session, as expected after its end");
  });

  test("reports an unknown id, and lists all matches of an ambiguous one", async () => {
    const other = (await scene.start({ profile: "quick" })).sessionId;
    const unknown = await inspect("s_nobody-has-this");
    expect(unknown.exitCode).toBe(1);
    expect(unknown.errors).toContain("Nothing found");
    const several = await inspect("s_");
    expect(several.exitCode).toBe(2);
    expect(several.errors).toContain(`default.${id}  (session)`);
    expect(several.errors).toContain(`default.${other}  (session)`);
    await scene.end(other);
  });
});

describe("a service's metrics endpoint", () => {
  test("serves what happened, at the gateway, the dispatcher and the host", async () => {
    const scrape = async (url: string) => (await fetch(url)).text();
    const lines = [
      'greenroom_up{service="gateway"} 1',
      'greenroom_consumer_pending{store="SESSIONS",consumer="dispatcher"} 0',
      'greenroom_hosts{draining="false"} 1',
      "greenroom_dead_letters 1",
      'greenroom_session_start_seconds_count{warmth="warm"} 2',
    ];
    let gateway = "";
    // The figures of NATS are a few seconds old.
    await until(
      async () => {
        gateway = await scrape(`${scene.stack.url}/metrics`);
        return lines.every((line) => gateway.includes(`\n${line}\n`));
      },
      {
        timeoutMs: PATIENCE_MS,
        everyMs: 500,
        what: () => `the gateway serves ${lines}; metrics: ${gateway}`,
      },
    );
    expect(gateway).toMatch(/\ngreenroom_pool_agents\{profile="quick",state="warm"\} [1-9]/);
    expect(gateway).toMatch(/\ngreenroom_store_bytes\{store="SESSIONS"\} [1-9]/);
    expect(gateway).toMatch(
      /\ngreenroom_http_request_seconds_count\{method="POST",route="\/api\/session\/start",status="200"\} /,
    );

    // The dispatcher counts a session a moment after it has stored the end.
    const dispatcher = await until(
      async () => {
        const text = await scrape(metricsUrls.dispatcher ?? "");
        return /\ngreenroom_sessions_ended_total\{.*\} 2\n/.test(text) ? text : undefined;
      },
      { timeoutMs: PATIENCE_MS, everyMs: 250, what: "two ends are counted" },
    );
    for (const line of [
      'greenroom_sessions_started_total{profile="quick",provider="pool"} 2',
      'greenroom_sessions_ready_total{profile="quick",warmth="warm",kind="start"} 2',
      'greenroom_sessions_ready_total{profile="quick",warmth="warm",kind="resume"} 1',
      'greenroom_sessions_ended_total{profile="quick",reason="completed",fault="none"} 2',
      'greenroom_attempts_failed_total{profile="quick"} 1',
      'greenroom_command_seconds_count{command="assign",outcome="accepted"} 3',
    ]) {
      expect(dispatcher).toContain(`\n${line}\n`);
    }
    // The last agent leaves a moment after its session has ended.
    let host = "";
    await until(
      async () => {
        host = await scrape(metricsUrls["agent-host"] ?? "");
        return /\nlk_agents_active_job_count\{nodename="[^"]+"\} 0\n/.test(host);
      },
      { timeoutMs: PATIENCE_MS, everyMs: 250, what: () => `no agent of the host is busy; metrics: ${host}` },
    );
    expect(host).toMatch(/\ngreenroom_host_agents_total\{what="assigned"\} 3\n/);
    expect(host).toMatch(/\nnodejs_eventloop_lag_p99_seconds /);
  });
});

describe("the doctor of a fleet whose dispatcher was killed", () => {
  test("begins with that verdict, and exits with 1", async () => {
    await dispatcher.kill9();
    const answer = await runDoctor(env);
    expect(answer.named("failure")).toEqual(["services"]);
    expect(answer.verdict).toContain(
      "Greenroom has a problem. No dispatcher is running. No session can start.",
    );
    expect(answer.exitCode).toBe(1);
  });

  test("reports that nothing runs with a code of its own", async () => {
    const nats = await startNats();
    try {
      const { exitCode, text } = await runTool("doctor", [], {
        ...env,
        NATS_URL: nats.url,
        GREENROOM_NATS_MONITOR_URL: nats.monitorUrl,
      });
      expect(text.split("\n")[0]).toMatch(/^Greenroom is not running\. Nothing else fails/);
      expect(exitCode).toBe(3);
    } finally {
      await nats.stop();
    }
  });
});

/** Publishes an invalid message, and waits until it is a dead letter. */
async function poison(subject: string): Promise<void> {
  const nats = await connectNats({ servers: scene.stack.natsUrl.split(",") });
  try {
    await nats.jetstream().publish(subject, "not JSON");
  } finally {
    await nats.close();
  }
  await until(async () => (await messagesOn(scene.bus, deadLetters, `dead.${subject}`, 1)).length > 0, {
    timeoutMs: PATIENCE_MS,
    what: `${subject} is a dead letter`,
  });
}

async function streamNames(): Promise<string[]> {
  const answer = await fetch(`${scene.stack.nats.monitorUrl}/jsz?streams=true`);
  const text = await answer.text();
  return [...text.matchAll(/"name":\s*"((?:KV_)?[A-Za-z_]+)"/g)].map(([, name]) => name ?? "").sort();
}

const isListening = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
