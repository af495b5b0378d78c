// Each service started by its npm script, with settings from the environment only.
import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { freePort } from "../../../cli/servers/ports.ts";
import { killGroup } from "../../../cli/supervisor/guard.ts";
import { membersOfGroups } from "../../../cli/supervisor/processes.ts";
import { startNats } from "../../kit/servers/servers.ts";
import type { TestNats } from "../../kit/servers/test-nats.ts";
import { agentsDir, removeAgentsDirs } from "../../kit/stack/agents-dir.ts";
import { PATIENCE_MS } from "../../kit/stack/scene.ts";
import { until } from "../../kit/until.ts";

const repository = fileURLToPath(new URL("../../..", import.meta.url));
const SERVICES = ["gateway", "dispatcher", "agent-host", "janitor"] as const;

let nats: TestNats;
const running: Alone[] = [];
beforeAll(async () => {
  nats = await startNats();
});
afterEach(async () => {
  await Promise.all(running.splice(0).map((alone) => alone.stop()));
});
afterAll(async () => {
  removeAgentsDirs();
  await nats?.stop();
});

class Alone {
  readonly #child: ChildProcess;
  text = "";

  /** @param command how to run it; by default its npm script */
  constructor(script: string, env: Record<string, string>, command = ["npm", "run", "--silent", script]) {
    const inherited = { PATH: process.env.PATH, HOME: process.env.HOME };
    const [program = "", ...args] = command;
    this.#child = spawn(program, args, {
      cwd: repository,
      env: { ...inherited, NATS_URL: nats.url, ...env },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream?.on("data", (part) => {
        this.text += part;
      });
    running.push(this);
  }

  printed(text: string): Promise<boolean> {
    return until(() => this.text.includes(text), {
      timeoutMs: PATIENCE_MS,
      what: () => `the output contains ${text}:\n${this.text}`,
    });
  }

  async exitCode(): Promise<number> {
    return await until(() => this.#child.exitCode ?? undefined, {
      timeoutMs: PATIENCE_MS,
      what: () => `the service ends; its output:\n${this.text}`,
    });
  }

  /** Waits until no process of it is left. */
  async gone(): Promise<void> {
    await until(() => membersOfGroups(new Set([this.#child.pid ?? 0])).length === 0, {
      timeoutMs: PATIENCE_MS,
      what: () => `every process of the service ends; its output:\n${this.text}`,
    });
  }

  /** Sends SIGTERM to npm alone, like a process manager does. */
  terminate(): void {
    this.#child.kill("SIGTERM");
  }

  /** Sends SIGINT to npm and the service, like Ctrl+C does. */
  async stop(): Promise<void> {
    killGroup(this.#child.pid, "SIGINT");
    const late = setTimeout(() => killGroup(this.#child.pid, "SIGKILL"), 20_000);
    await until(() => this.#child.exitCode !== null || this.#child.signalCode !== null, {
      timeoutMs: 30_000,
      what: "the service stops",
    });
    clearTimeout(late);
  }
}

describe("a service by itself", () => {
  test("serves sessions together with the three others, each started by its own npm script", async () => {
    const port = await freePort();
    const env = {
      LIVEKIT_MOCK_MODE: "true",
      GREENROOM_PORT: String(port),
      GREENROOM_AGENTS_DIR: agentsDir("quick"),
      GREENROOM_DRAIN_TIMEOUT_MS: "1000",
      GREENROOM_TENANT: "acme",
    };
    const services = SERVICES.map((name) => new Alone(name, env));
    await Promise.all(services.map((service) => service.printed('"msg":"running"')));
    const url = `http://127.0.0.1:${port}`;
    const answer = await until(
      async () => {
        const response = await fetch(`${url}/api/session/start`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ profile: "quick", wait: 30_000 }),
        });
        return response.status === 200 ? await response.json() : undefined;
      },
      { timeoutMs: PATIENCE_MS, everyMs: 250, what: "a session is served" },
    );
    expect(answer).toMatchObject({ status: "ready", profile: "quick" });
  });

  test.each(SERVICES)("stops in order after a SIGTERM to its npm script (%s)", async (name) => {
    const service = new Alone(name, {
      LIVEKIT_MOCK_MODE: "true",
      GREENROOM_PORT: String(await freePort()),
      GREENROOM_AGENTS_DIR: agentsDir("quick"),
      GREENROOM_HOST_ID: "stopped-by-npm",
    });
    await service.printed('"msg":"running"');
    service.terminate();
    expect(await service.exitCode()).toBe(0);
    expect(service.text).toContain('"reason":"SIGTERM","msg":"stopping"');
    await service.gone();
  });

  test("stops in order after the shell of its npm script was terminated", async () => {
    const command = ["sh", "-c", "node cli/run.mjs services/janitor/main.ts; exit 3"];
    const service = new Alone("janitor", { npm_lifecycle_event: "janitor" }, command);
    await service.printed('"msg":"running"');
    service.terminate();
    await service.printed('"reason":"the shell of the npm script is gone","msg":"stopping"');
    await service.gone();
  });

  test.each(SERVICES)("refuses an unknown setting, and names the nearest one (%s)", async (name) => {
    const service = new Alone(name, { GREENROOM_MAX_QUEU_LENGTH: "3", GREENROOM_LOG_LEVEL: "loud" });
    expect(await service.exitCode()).toBe(78);
    expect(service.text).toContain(
      "GREENROOM_MAX_QUEU_LENGTH is not a setting. Did you mean GREENROOM_MAX_QUEUE_LENGTH?",
    );
    expect(service.text).toContain("GREENROOM_LOG_LEVEL");
  });

  test("names the missing agents folder, and runs without LiveKit", async () => {
    const missing = new Alone("agent-host", { GREENROOM_AGENTS_DIR: "/nowhere/agents" });
    expect(await missing.exitCode()).toBe(78);
    expect(missing.text).toContain("the folder /nowhere/agents can't be read");
    const without = new Alone("agent-host", {
      GREENROOM_AGENTS_DIR: agentsDir("quick"),
      GREENROOM_DRAIN_TIMEOUT_MS: "0",
    });
    await without.printed("LiveKit is not configured");
    await without.printed('"msg":"running"');
  });

  test("runs as a gateway without LiveKit, and refuses sessions with the settings to make", async () => {
    const port = await freePort();
    const gateway = new Alone("gateway", { GREENROOM_PORT: String(port) });
    await gateway.printed('"msg":"running"');
    const url = `http://127.0.0.1:${port}`;
    const health = await (await fetch(`${url}/api/health`)).json();
    expect(health).toMatchObject({ status: "unhealthy", services: { livekit: { status: "disabled" } } });
    const response = await fetch(`${url}/api/session/start`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: "{}",
    });
    expect(response.status).toBe(503);
    const { error } = (await response.json()) as { error: { code: string; message: string } };
    expect(error.code).toBe("livekit_unavailable");
    expect(error.message).toContain("LIVEKIT_URL");
  });
});
