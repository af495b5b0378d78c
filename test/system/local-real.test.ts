// `npm start` with real services on real servers, from the start over a session to the end.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { parentOf, programOf } from "../../cli/supervisor/processes.ts";
import { compiledFile, repositoryRoot } from "../../libs/runtime/compiled.ts";
import { LocalSite, realLocal } from "../kit/stack/start-local.ts";

let site: LocalSite;
beforeEach(async () => {
  site = await LocalSite.make();
});
afterEach(() => site.clean());

const pidOf = (name: string): number =>
  (JSON.parse(readFileSync(join(site.dataDir, "run", `${name}.json`), "utf8")) as { pid: number }).pid;

const postJson = async (path: string, body: unknown = {}) => {
  const response = await fetch(site.url + path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
};

describe("npm start", () => {
  test("starts three services, restarts a killed one, and leaves nothing after SIGTERM", async () => {
    const local = site.start({ LIVEKIT_MOCK_MODE: "false" }, realLocal);
    const banner = await local.ready(90_000);
    expect(readdirSync(join(site.dataDir, "run")).sort()).toEqual(
      ["agent-host", "control", "gateway", "livekit", "nats"].map((name) => `${name}.json`),
    );
    expect(banner.msg).toMatch(/echo +running: \d+ warm agent/);
    expect(banner.msg).toMatch(/assistant +disabled: .*OPENAI_API_KEY/);

    const start = await postJson("/api/session/start", { profile: "echo", wait: 20_000 });
    expect(start.status).toBe(200);
    expect(start.body).toMatchObject({ success: true, status: "ready", profile: "echo" });

    const before = pidOf("control");
    process.kill(before, "SIGKILL");
    await local.logged(/^control died: ended by SIGKILL/, "greenroom");
    const later = await postJson("/api/session/start", { profile: "echo", wait: 30_000 });
    expect(later.body).toMatchObject({ status: "ready" });
    expect(pidOf("control")).not.toBe(before);
    for (const { body } of [start, later]) {
      const end = await postJson(`/api/session/${body.sessionId}/end`);
      expect(end.status).toBeLessThan(300);
    }

    local.signal("SIGTERM");
    expect(await local.ended()).toBe(0);
    await site.isEmpty();
    const unparsed = local.records().filter((record) => typeof record.service !== "string");
    expect(unparsed).toEqual([]);
  });

  test("serves a session in simulated rooms, without LiveKit", async () => {
    const local = site.start({ LIVEKIT_MOCK_MODE: "true" }, realLocal);
    expect((await local.ready(90_000)).msg).toContain("simulated rooms");
    const start = await postJson("/api/session/start", { profile: "echo", wait: 20_000 });
    expect(start.body).toMatchObject({ success: true, status: "ready" });
    local.signal("SIGTERM");
    expect(await local.ended()).toBe(0);
    await site.isEmpty();
  });

  test("runs compiled code, and esbuild for agent files only", async () => {
    const notes = join(site.dataDir, "processes");
    const preload = join(site.dataDir, "note-process.mjs");
    writeFileSync(
      preload,
      // A worker thread, as esbuild has one in the agent process, is no program.
      `import { appendFileSync } from "node:fs";
       import { isMainThread } from "node:worker_threads";
       const { pid, argv, execArgv } = process;
       if (isMainThread) appendFileSync(${JSON.stringify(notes)}, JSON.stringify({ pid, program: argv[1], execArgv }) + "\\n");`,
    );
    const local = site.start({ NODE_OPTIONS: `--import ${preload}` }, realLocal);
    await local.ready(90_000);
    const noted = readFileSync(notes, "utf8")
      .trim()
      .split("\n")
      .map((line): { pid: number; program: string; execArgv: string[] } => JSON.parse(line));
    const agentProcess = compiledFile("services/agent-host/agent-process/main.ts");
    const programs = noted.map(({ program }) => program);
    expect(programs).toEqual(
      expect.arrayContaining([realLocal, compiledFile("services/gateway/main.ts"), agentProcess]),
    );
    expect(programs.filter((program) => !program.startsWith(`${repositoryRoot}dist/`))).toEqual([]);
    const preloads = noted.flatMap(({ execArgv }) => execArgv).filter((word) => word !== "--import");
    expect(preloads.filter((url) => !url.startsWith(pathToFileURL(`${repositoryRoot}dist/`).href))).toEqual(
      [],
    );

    const agentPids = noted.filter(({ program }) => program === agentProcess).map(({ pid }) => pid);
    const compilers = site.pids().filter((pid) => programOf(pid) === "esbuild");
    expect(compilers.filter((pid) => !agentPids.includes(parentOf(pid) ?? -1))).toEqual([]);
  });

  test("leaves nothing after SIGKILL, not even agent processes", async () => {
    const local = site.start({ LIVEKIT_MOCK_MODE: "true", GREENROOM_DRAIN_TIMEOUT_MS: "500" }, realLocal);
    await local.ready(90_000);
    const start = await postJson("/api/session/start", { profile: "echo", wait: 20_000 });
    expect(start.body).toMatchObject({ status: "ready" });
    local.signal("SIGKILL");
    await local.ended();
    await site.isEmpty();
  });

  test.each(["SIGTERM", "SIGKILL"] as const)("stops everything after a %s to npm", async (signal) => {
    const local = site.startByNpm({ LIVEKIT_MOCK_MODE: "true" });
    await local.ready(90_000);
    local.signal(signal);
    await site.isEmpty();
    await local.ended(); // Then the whole output has been read.
    expect(local.records().at(-1)).toMatchObject({ service: "greenroom", msg: "stopped" });
  });
});
