// Loads agent files of every kind in agent processes, without a host.
import { appendFileSync, cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { compiledFile } from "../../libs/runtime/compiled.ts";
import { silentLog } from "../../libs/runtime/log.ts";
import type { ProcessToHost } from "../../services/agent-host/pool/messages.ts";
import { launchAgentProcess } from "../../services/agent-host/pool/supervised-process.ts";

/** The copy of `greenroom/agent` that the agent process itself uses. */
const OURS = pathToFileURL(compiledFile("services/agent-host/agent-process/agent-api.ts")).href;
const PREWARM = `async () => {
  if (helper !== "helper" || own.name !== "own") throw new Error("an import is wrong");
  const { ready } = await import(${JSON.stringify(OURS)});
  if (ready !== api.ready) throw new Error("there are two copies of greenroom/agent");
}`;
const imports = (helper: string) => `
import { defineAgent } from "@livekit/agents";
import * as api from "greenroom/agent";
import own from "own-package";
import { helper } from "${helper}";
`;
const EXPORT = `export default defineAgent({ prewarm: ${PREWARM}, entry: async () => {} });`;
const TYPED = "enum Kind { One }\nexport const pool: { min: number } = { min: Kind.One };";
const REQUIRES = `
const { defineAgent } = require("@livekit/agents");
const api = require("greenroom/agent");
const own = require("own-package");
const { helper } = require("./lib/helper");
`;

const FILES: Readonly<Record<string, string>> = {
  "launches.ts": `import { cli, ServerOptions } from "@livekit/agents";
    cli.runApp(new ServerOptions({ agent: "./typescript.ts" }));`,
  "lib/helper.ts": "export const helper: string = 'helper';",
  "lib/worker.ts": `import { parentPort } from "node:worker_threads";
    import { helper } from "./helper.ts";
    parentPort!.postMessage(helper satisfies string);`,
  "lib/plain.mjs": "export { helper } from './helper.ts';",
  "node_modules/own-package/package.json": '{ "name": "own-package", "main": "index.js" }',
  "node_modules/own-package/index.js": "let n = 0; module.exports = { name: 'own', next: () => ++n };",

  "typescript.ts": `${imports("./lib/helper.ts")}${TYPED}${EXPORT}`,
  "as-compiled.ts": `${imports("./lib/helper.js")}${TYPED}${EXPORT}`,
  "forks.mts": `${imports("./lib/helper.ts")}${EXPORT}
    import { fork } from "node:child_process";
    const child = fork(new URL("lib/helper.ts", import.meta.url));
    const code = await new Promise((resolve) => child.once("exit", resolve));
    if (code !== 0) throw new Error("a process that runs TypeScript failed");`,
  "worker-threads.mts": `${imports("./lib/helper.ts")}${EXPORT}
    import { Worker } from "node:worker_threads";
    const worker = new Worker(new URL("lib/worker.ts", import.meta.url));
    const answer = await new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
    if (answer !== "helper") throw new Error("a worker thread that runs TypeScript failed");`,
  // Without "type": "module", a .ts file becomes CommonJS.
  "requires.ts": `${imports("./lib/helper.ts")}${EXPORT}
    export const requires = ["A_KEY_THAT_NOBODY_SETS"];`,
  "requires.mts": `${imports("./lib/helper.ts")}${EXPORT}
    export const requires = ["A_KEY_THAT_NOBODY_SETS"];`,
  "module.mts": `${imports("./lib/helper.ts")}${TYPED}${EXPORT}`,
  "common.cts": `${imports("./lib/helper")}${TYPED}${EXPORT}`,
  "required.cts": `${REQUIRES}module.exports = defineAgent({ prewarm: ${PREWARM}, entry: async () => {} });`,
  "javascript.js": `${imports("./lib/helper.ts")}${EXPORT}`,
  "module.mjs": `${imports("./lib/plain.mjs")}${EXPORT}`,
  "common.cjs": `${REQUIRES}exports.default = defineAgent({ prewarm: ${PREWARM}, entry: async () => {} });`,
};

/** Shows in the error of its prewarm how often this evaluation, its helper and its package were used. */
const COUNT = `let mine = 0;
const prewarm = async () => {
  throw new Error([++mine, next(), own.next()].join());
};`;
const EXPORT_COUNT = `export const pool = { isolation: process.env.ISOLATION };
export default defineAgent({ prewarm, entry: async () => {} });`;
const counts = (helper: string) => `
import { defineAgent } from "@livekit/agents";
import own from "own-package";
import { next } from "${helper}";
${COUNT}`;
const COUNTERS: Readonly<Record<string, string>> = {
  "lib/counter.ts": "let n: number = 0;\nexport const next = (): number => ++n;",
  "lib/counter-2.mjs": "let n = 0;\nexport const next = () => ++n;",
  "lib/counter-3.cjs": "let n = 0;\nexports.next = () => ++n;",
  "counts.ts": `${counts("./lib/counter.ts")}${EXPORT_COUNT}`,
  "counts.mts": `${counts("./lib/counter.ts")}${EXPORT_COUNT}`,
  "counts-as-compiled.ts": `${counts("./lib/counter.js")}${EXPORT_COUNT}`,
  "counts.mjs": `${counts("./lib/counter-2.mjs")}${EXPORT_COUNT}`,
  "counts.js": `${counts("./lib/counter.ts")}${EXPORT_COUNT}`,
  "counts.cjs": `const { defineAgent } = require("@livekit/agents");
    const own = require("own-package");
    const { next } = require("./lib/counter-3.cjs");
    ${COUNT}
    exports.pool = { isolation: process.env.ISOLATION };
    exports.default = defineAgent({ prewarm, entry: async () => {} });`,
};

/** A project with a folder of its own, like LiveKit's example for Node.js. */
const PROJECT: Readonly<Record<string, string>> = {
  "project/package.json": '{ "type": "module" }',
  "project/tsconfig.json": '{ "compilerOptions": { "baseUrl": ".", "paths": { "@lib/*": ["src/lib/*"] } } }',
  "project/.env": "FROM_ENV=env\nFROM_BOTH=env\nSET_BEFORE=env",
  "project/.env.local": "FROM_BOTH=local",
  "project/src/lib/prompt.ts": 'export const prompt: string = "the prompt";',
  "project/src/agent.ts": `import { basename } from "node:path";
    import { cli, defineAgent, WorkerOptions } from "@livekit/agents";
    import { prompt } from "@lib/prompt";
    const { FROM_BOTH, FROM_ENV, SET_BEFORE } = process.env;
    const prewarm = async () => {
      throw new Error([basename(process.cwd()), prompt, FROM_ENV, FROM_BOTH, SET_BEFORE].join());
    };
    export default defineAgent({ prewarm, entry: async () => {} });
    cli.runApp(new WorkerOptions({ agent: import.meta.filename, agentName: "reception" }));`,
  "project/src/main.ts": `import { cli, ServerOptions } from "@livekit/agents";
    cli.runApp(new ServerOptions({ agent: "./agent.ts", agentName: "by-main" }));`,
  "project/src/helper.ts": 'import "@livekit/agents";\nexport const help = () => {};',
  "project/src/named.ts": `import { defineAgent } from "@livekit/agents";
    export const support = defineAgent({ entry: async () => {} });`,
  "a folder #1 %20 é/awaits.ts": `await Promise.resolve();
    ${imports("../lib/helper.ts")}${EXPORT}`,
  "a folder #1 %20 é/awaits.mts": `await Promise.resolve();
    ${imports("../lib/helper.ts")}${EXPORT}`,
  "project/src/newer.ts": `import { aThingOfTheFuture, defineAgent } from "@livekit/agents";
    export default defineAgent({ entry: async () => aThingOfTheFuture() });`,
  "project/src/key-on-load.ts":
    'throw new Error("OpenAI API key is required, whether as an argument or as $OPENAI_API_KEY");',
  "project/src/strings.ts": `import { defineAgent, inference, voice } from "@livekit/agents";
    const prewarm = async () => {
      if (process.env.MAKES === "inference.LLM") new inference.LLM({ model: "openai/gpt-4o-mini" });
      else new voice.AgentSession({ llm: "openai/gpt-4o-mini" });
    };
    export default defineAgent({ prewarm, entry: async () => {} });`,
  "project/src/exits.ts": 'console.error("MY_SECRET is missing");\nprocess.exit(1);',
};

const AGENTS = Object.keys(FILES).filter((file) => !file.includes("/") && !file.startsWith("requires"));

const COUNTING = Object.keys(COUNTERS).filter((file) => !file.includes("/"));

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "greenroom-agents-"));
  for (const [file, text] of Object.entries({ ...FILES, ...COUNTERS, ...PROJECT })) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    writeFileSync(join(folder, file), text);
  }
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The messages of an agent process that loads the file and warms agents, without its log. */
function load(
  file: string,
  agents = 1,
  onMessage: (message: ProcessToHost) => void = () => {},
  atOnce = false,
  { root = folder, ...given }: { root?: string; version?: string } = {},
): Promise<ProcessToHost[]> {
  const received: ProcessToHost[] = [];
  return new Promise((resolve, reject) => {
    const link = launchAgentProcess(silentLog)(
      {
        profile: "any",
        file: join(root, file),
        host: "host-1",
        livekitUrl: "ws://127.0.0.1:9",
        livekitApiKey: "key",
        livekitApiSecret: "secret",
        simulated: true,
        logLevel: "error",
        failover: { restore: false, message: "" },
        unhandledRejections: "log",
        readyAfterMs: 5000,
        transcriptDelayMs: 1000,
        isolation: "shared",
        ...given,
      },
      {
        onMessage(message) {
          onMessage(message);
          if (message.type === "log") return;
          if (message.type !== "loaded") received.push(message);
          else if (atOnce) {
            for (let slot = 1; slot <= agents; slot++) link.send({ type: "warm", slot: `slot-${slot}` });
            return;
          }
          if (atOnce && received.length < agents) return;
          if (received.length < agents && ["loaded", "warm", "warm_failed"].includes(message.type)) {
            link.send({ type: "warm", slot: `slot-${received.length + 1}` });
            return;
          }
          link.kill();
          resolve(received);
        },
        onExit: (reason) => reject(new Error(reason)),
      },
    );
  });
}

/** The version that a process reports when it has loaded the file. */
async function versionOf(file: string, root: string, given?: string): Promise<string | undefined> {
  let version: string | undefined;
  const note = (message: ProcessToHost) => {
    if (message.type === "loaded") version = message.version;
  };
  await load(file, 1, note, false, { root, ...(given === undefined ? {} : { version: given }) });
  return version;
}

/** The errors of the prewarms of three agents in one process. */
async function errorsOf(file: string, isolation: string, atOnce = false): Promise<string[]> {
  process.env.ISOLATION = isolation;
  const messages = await load(file, 3, () => {}, atOnce);
  return messages.map((message) => ("error" in message ? String(message.error) : message.type));
}

describe("an agent process", () => {
  test.each(AGENTS)("loads %s, which shares greenroom/agent with the process", async (file) => {
    expect(await load(file)).toMatchObject([{ type: "warm", slot: "slot-1" }]);
  });

  test.each(["requires.ts", "requires.mts"])("reads the exports of %s besides the agent", async (file) => {
    expect(await load(file)).toEqual([{ type: "disabled", reason: "A_KEY_THAT_NOBODY_SETS must be set" }]);
  });

  test("runs a file in its project, with its environment and its tsconfig paths", async () => {
    process.env.SET_BEFORE = "before";
    expect(await load("project/src/agent.ts")).toMatchObject([
      { error: "project,the prompt,env,local,before" },
    ]);
  });

  test.each([
    ["typescript.ts", "lib/helper.ts"],
    ["module.mts", "lib/helper.ts"],
    ["common.cts", "lib/helper.ts"],
    ["module.mjs", "lib/plain.mjs"],
    ["project/src/main.ts", "project/src/lib/prompt.ts"],
    ["project/src/agent.ts", "project/package.json"],
  ])("has the version of %s, which changes with %s and not with the folder", async (file, imported) => {
    const copies = mkdtempSync(join(tmpdir(), "greenroom-versions-"));
    try {
      const [same, changed] = [join(copies, "same"), join(copies, "changed")];
      for (const copy of [same, changed]) cpSync(folder, copy, { recursive: true });
      appendFileSync(join(same, "node_modules/own-package/index.js"), "\n");
      appendFileSync(join(same, "lib/worker.ts"), "\n");
      appendFileSync(join(changed, imported), "\n");
      const versions = await Promise.all([folder, same, changed].map((copy) => versionOf(file, copy)));
      for (const version of versions) expect(version).toMatch(/^[0-9a-f]{12}$/);
      expect(versions[1]).toBe(versions[0]);
      expect(versions[2]).not.toBe(versions[0]);
    } finally {
      rmSync(copies, { recursive: true });
    }
  });

  test("has the version that its host gives it", async () => {
    expect(await versionOf("module.mjs", folder, "v1.2.3")).toBe("v1.2.3");
  });

  test("finds the agent that a file gives to cli.runApp, and its agentName", async () => {
    const names: (string | undefined)[] = [];
    const seen = (message: ProcessToHost) => {
      if (message.type === "loaded") names.push(message.agentName);
    };
    expect(await load("project/src/main.ts", 1, seen)).toMatchObject([
      { error: "project,the prompt,env,local,before" },
    ]);
    await load("project/src/agent.ts", 1, seen);
    expect(names).toEqual(["by-main", "reception"]);
  });

  test("reports a file without an agent, which is no profile", async () => {
    expect(await load("project/src/helper.ts")).toMatchObject([{ type: "no_agent" }]);
  });

  test.each([
    ["newer.ts", /^@livekit\/agents 1\.\S+ has no export aThingOfTheFuture; the file needs another version/],
    ["key-on-load.ts", /^OpenAI API key is required/],
    ["named.ts", /^the file exports its agent as support; LiveKit expects it as the default export/],
  ])("disables %s, which would fail again", async (file, reason) => {
    expect(await load(`project/src/${file}`)).toMatchObject([
      { type: "disabled", reason: expect.stringMatching(reason) },
    ]);
  });

  test("loads a file with top-level await from a folder with any name", async () => {
    expect(await load("a folder #1 %20 é/awaits.mts")).toMatchObject([{ type: "warm", slot: "slot-1" }]);
  });

  test("names the remedy for top-level await in a TypeScript file of a CommonJS project", async () => {
    expect(await load("a folder #1 %20 é/awaits.ts")).toMatchObject([
      {
        type: "load_failed",
        error: expect.stringMatching(/op-level await.*add "type": "module" to the package/),
      },
    ]);
  });

  test.each(["inference.LLM", "AgentSession"])(
    "names the credentials that %s needs for a model named by a string",
    async (made) => {
      process.env.MAKES = made;
      process.env.LIVEKIT_API_KEY = "key";
      const failed = { type: "warm_failed", retryable: false };
      const [message] = await load("project/src/strings.ts");
      expect(message).toMatchObject(failed);
      expect(message).toHaveProperty(
        "error",
        expect.stringMatching(
          /^openai\/gpt-4o-mini is a model of LiveKit Inference, .* Set LIVEKIT_INFERENCE_API_KEY/,
        ),
      );
      process.env.LIVEKIT_INFERENCE_API_KEY = "key";
      process.env.LIVEKIT_INFERENCE_API_SECRET = "secret";
      try {
        expect(await load("project/src/strings.ts")).not.toMatchObject([failed]);
      } finally {
        delete process.env.LIVEKIT_INFERENCE_API_KEY;
        delete process.env.LIVEKIT_INFERENCE_API_SECRET;
      }
    },
  );

  test("names the last lines of a file that exits while it loads", async () => {
    await expect(load("project/src/exits.ts")).rejects.toThrow(/exit code 1.*MY_SECRET is missing/);
  });

  test.each(COUNTING)("shares the modules of %s among its agents with shared isolation", async (file) => {
    expect(await errorsOf(file, "shared")).toEqual(["1,1,1", "2,2,2", "3,3,3"]);
  });

  test.each(COUNTING)("shares only packages among the agents of %s with module isolation", async (file) => {
    expect(await errorsOf(file, "module", true)).toEqual(["1,1,1", "1,1,2", "1,1,3"]);
  });
});
