// An agent process whose host dies while the process starts.
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { compiledFile } from "../../../libs/runtime/compiled.ts";
import type { ProcessStart } from "../../../services/agent-host/pool/messages.ts";

const main = compiledFile("services/agent-host/agent-process/main.ts");
const file = fileURLToPath(new URL("../../agents/quick.ts", import.meta.url));

describe("agent process", () => {
  test("exits when its host dies while it loads its modules", async () => {
    const start: ProcessStart = {
      profile: "quick",
      file,
      host: "host-1",
      livekitUrl: "ws://127.0.0.1:9",
      livekitApiKey: "key",
      livekitApiSecret: "secret",
      simulated: true,
      logLevel: "warn",
      failover: { restore: false, message: "" },
      unhandledRejections: "log",
      readyAfterMs: 5000,
      transcriptDelayMs: 1000,
      isolation: "shared",
    };
    const child = fork(main, {
      execArgv: [],
      env: { ...process.env, PROCESS_START: JSON.stringify(start) },
      stdio: "ignore",
    });
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.disconnect();
    const late = setTimeout(() => child.kill("SIGKILL"), 60_000);
    expect(await ended, "the process exits by itself").toBe(0);
    clearTimeout(late);
  });
});
