// The package as npm installs it: into a project made like LiveKit's template for Node.js.
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { repositoryRoot } from "../../../libs/runtime/compiled.ts";
import { LocalSite } from "../../kit/stack/start-local.ts";

const run = promisify(execFile);

const files = (agents: string): Record<string, string> => ({
  "package.json": JSON.stringify({
    name: "agent-template",
    type: "module",
    dependencies: { "@livekit/agents": agents, "@livekit/rtc-node": "^0.13.35" },
  }),
  "tsconfig.json": JSON.stringify({
    compilerOptions: {
      target: "es2022",
      module: "nodenext",
      strict: true,
      noEmit: true,
      allowImportingTsExtensions: true,
      types: ["node"],
    },
    include: ["src"],
  }),
  "src/agent.ts": `
    import { voice } from "@livekit/agents";
    export class Assistant extends voice.Agent {
      constructor() {
        super({ instructions: "You are helpful." });
      }
    }`,
  "src/main.ts": `
    import { fileURLToPath } from "node:url";
    import { cli, defineAgent, type JobContext, ServerOptions, voice } from "@livekit/agents";
    import { sessionInfo } from "greenroom/agent";
    import { Assistant } from "./agent.ts";

    export default defineAgent({
      entry: async (ctx: JobContext) => {
        const session = new voice.AgentSession({});
        await session.start({ agent: new Assistant(), room: ctx.room });
        await ctx.connect();
        const id: string | undefined = sessionInfo()?.sessionId;
        console.info("serves " + id);
      },
    });

    cli.runApp(new ServerOptions({ agent: fileURLToPath(import.meta.url), agentName: "my-agent" }));`,
});

let folder: string;
let tarball: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "greenroom-package-"));
  await run("npm", ["pack", "--pack-destination", folder], { cwd: repositoryRoot });
  tarball = join(folder, readdirSync(folder).find((name) => name.endsWith(".tgz"))!);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let site: LocalSite;
beforeEach(async () => {
  site = await LocalSite.make();
});
afterEach(() => site.clean());

/** A project with its packages, and Greenroom among them. */
async function makeProject(agents: string): Promise<string> {
  const project = mkdtempSync(join(folder, "project-"));
  for (const [name, text] of Object.entries(files(agents))) {
    mkdirSync(dirname(join(project, name)), { recursive: true });
    writeFileSync(join(project, name), text);
  }
  const install = ["install", "--no-audit", "--no-fund", "--ignore-scripts"];
  await run("npm", install, { cwd: project });
  await run("npm", [...install, tarball], { cwd: project });
  return project;
}

describe("the package", () => {
  test("serves an unchanged LiveKit project by npx greenroom dev src, until Ctrl+C", async () => {
    const project = await makeProject("^1.9.0");
    const tsc = join(repositoryRoot, "node_modules/.bin/tsc");
    const typeRoots = ["--typeRoots", join(repositoryRoot, "node_modules/@types")];
    await run(tsc, ["-p", project, "--skipLibCheck", ...typeRoots], { cwd: project });
    await expectService(project);
  }, 400_000);

  test("serves a project that keeps an older version of @livekit/agents", async () => {
    const project = await makeProject("1.8.0");
    const { stdout } = await run("npm", ["ls", "@livekit/agents", "--json", "--depth", "0"], {
      cwd: project,
    });
    expect(JSON.parse(stdout).dependencies["@livekit/agents"].version).toBe("1.8.0");
    await expectService(project);
  }, 400_000);
});

async function expectService(project: string): Promise<void> {
  const ports = ["--nats-port", String(site.natsPort), "--livekit-port", String(site.livekitPort)];
  const local = site.startInProject(project, ["dev", "src", ...ports], { LIVEKIT_MOCK_MODE: "false" });
  const banner = await local.ready(120_000);
  expect(banner.msg).toContain(`ws://127.0.0.1:${site.livekitPort}`);
  expect(banner.msg).toMatch(/ main +running/);
  const answer = await fetch(`${site.url}/api/session/start`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ wait: 30_000 }),
  });
  const started = (await answer.json()) as { sessionId: string };
  expect(started).toMatchObject({ status: "ready", profile: "main" });
  await local.logged(new RegExp(`serves ${started.sessionId}`), "agent-host");

  const pressedAt = performance.now();
  local.signal("SIGINT");
  await local.ended();
  expect(performance.now() - pressedAt).toBeLessThan(10_000);
  expect(local.records().at(-1)).toMatchObject({ service: "greenroom", msg: "stopped" });
  await site.isEmpty();
}
