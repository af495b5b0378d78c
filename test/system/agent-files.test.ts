// Loads agent files of every kind in agent processes, without a host.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
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
  if (helper !== "helper" || own !== "own") throw new Error("an import is wrong");
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
  "lib/helper.ts": "export const helper: string = 'helper';",
  "lib/worker.ts": `import { parentPort } from "node:worker_threads";
    import { helper } from "./helper.ts";
    parentPort!.postMessage(helper satisfies string);`,
  "lib/plain.mjs": "export { helper } from './helper.ts';",
  "node_modules/own-package/package.json": '{ "name": "own-package", "main": "index.js" }',
  "node_modules/own-package/index.js": "module.exports = 'own';",

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
const AGENTS = Object.keys(FILES).filter((file) => !file.includes("/") && !file.startsWith("requires"));

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "greenroom-agents-"));
  for (const [file, text] of Object.entries(FILES)) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    writeFileSync(join(folder, file), text);
  }
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The last message of an agent process that loads the file and warms one agent. */
function load(file: string): Promise<ProcessToHost> {
  return new Promise((resolve, reject) => {
    const link = launchAgentProcess(silentLog)(
      {
        profile: "any",
        file: join(folder, file),
        host: "host-1",
        livekitUrl: "ws://127.0.0.1:9",
        livekitApiKey: "key",
        livekitApiSecret: "secret",
        simulated: true,
        logLevel: "error",
        failover: { restore: false, message: "" },
      },
      {
        onMessage(message) {
          if (message.type === "loaded") link.send({ type: "warm", slot: "slot-1" });
          else if (message.type !== "log") {
            link.kill();
            resolve(message);
          }
        },
        onExit: (reason) => reject(new Error(reason)),
      },
    );
  });
}

describe("an agent process", () => {
  test.each(AGENTS)("loads %s, which shares greenroom/agent with the process", async (file) => {
    expect(await load(file)).toMatchObject({ type: "warm", slot: "slot-1" });
  });

  test.each(["requires.ts", "requires.mts"])("reads the exports of %s besides the agent", async (file) => {
    expect(await load(file)).toEqual({ type: "disabled", reason: "A_KEY_THAT_NOBODY_SETS must be set" });
  });
});
