// `npm run doctor`: on a good stack all is well, and it names exactly what was broken.
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { natsServer } from "../../deploy/binary-specs.ts";
import { freePort } from "../../deploy/ports.ts";
import { agentsDir, removeAgentsDirs } from "../support/agents-dir.ts";
import { runDoctor } from "../support/doctor.ts";
import { openScene, type Scene } from "../support/scene.ts";
import { binaryOf, ServerProcess } from "../support/server-process.ts";

let scene: Scene;
let dir: string;
let env: Record<string, string>;

beforeAll(async () => {
  scene = await openScene({ agents: ["quick"] });
  const { stack } = scene;
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

test("a good stack has nothing wrong, a call goes through it, and nothing of the looking is left", async () => {
  const streamsBefore = await streamNames();
  const answer = await runDoctor(env);

  expect(answer.named("failure"), JSON.stringify(answer.checks)).toEqual([]);
  expect(answer.exitCode).toBe(0);
  const looked = [
    "nats",
    "nats-rights",
    "jetstream",
    "nats-store",
    "nats-streams",
    "nats-backlog",
    "nats-sync",
  ];
  const onLiveKit = ["livekit", "clocks", "livekit-audio", "livekit-webhooks"];
  expect(answer.named("ok")).toEqual(
    expect.arrayContaining([...looked, ...onLiveKit, "settings", "node", "ports", "agents", "keys"]),
  );
  expect(answer.says("livekit-audio")).toContain("heard each other's tone");
  expect(await streamNames()).toEqual(streamsBefore);
  expect((await scene.rooms.list()).filter(({ name }) => name.startsWith("doctor-"))).toEqual([]);
  expect((await scene.stack.get("/api/dead-letters")).body.deadLetters).toEqual([]);
});

test("a wrong secret of LiveKit and a broken agent file are named, and nothing else", async () => {
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
  expect(answer.says("livekit")).toContain("refuses our key");
  expect(answer.says("agents")).toContain("its author was tired");
  expect(answer.says("agents")).toContain("no default export made by defineAgent");
  expect(JSON.stringify(answer)).not.toContain("this-is-not-the-secret");
});

test("a NATS without JetStream, with fewer rights than needed, and a port that is taken are named", async () => {
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
    expect(answer.named("failure")).toEqual(["ports", "nats-rights", "jetstream"]);
    expect(answer.says("ports")).toContain("taken by nats-server");
    expect(answer.says("nats-rights")).toContain("session.doctor-tries");
    expect(answer.named("skipped")).toEqual(
      expect.arrayContaining(["nats-store", "nats-streams", "nats-backlog", "nats-sync"]),
    );
  } finally {
    await server.end("SIGTERM");
  }
});

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
