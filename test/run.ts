// `npm test`: everything the tests need is there or is installed, then all of them run.
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { findBinary } from "../cli/servers/binaries.ts";
import { livekitServer, natsServer } from "../cli/servers/binary-specs.ts";
import { repositoryRoot } from "../cli/supervisor/fork-service.ts";
import { messageOf } from "../libs/contracts/errors.ts";
import { countTests, summaryOf } from "./kit/count-tests.ts";
import { unmountBelow } from "./kit/servers/loop-disk.ts";
import { ensureTools } from "./kit/servers/tools.ts";

const say = (line: string) => console.error(line);

process.exit(await main(process.argv.slice(2)));

async function main(args: readonly string[]): Promise<number> {
  let env: NodeJS.ProcessEnv;
  try {
    env = {
      ...process.env,
      GREENROOM_NATS_SERVER: await findBinary(natsServer, { env: process.env, report: say }),
      GREENROOM_LIVEKIT_SERVER: await findBinary(livekitServer, { env: process.env, report: say }),
      ...(await ensureTools(process.env, say)),
    };
  } catch (error) {
    say(messageOf(error));
    return 1;
  }
  const directory = await mkdtemp(join(tmpdir(), "greenroom-test-"));
  try {
    const report = join(directory, "report.json");
    // All that the tests leave in temporary folders goes with this one, also what a killed worker left.
    const exitCode = await runVitest(args, report, { ...env, TMPDIR: directory });
    return await tellCounts(report, exitCode);
  } finally {
    await unmountBelow(directory);
    await rm(directory, { recursive: true, force: true });
  }
}

/** Vitest's own output is shown as it comes; the counts go to a file besides. */
function runVitest(args: readonly string[], report: string, env: NodeJS.ProcessEnv): Promise<number> {
  const vitest = join(dirname(createRequire(import.meta.url).resolve("vitest/package.json")), "vitest.mjs");
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
  const child = spawn(process.execPath, [vitest, "run", ...reporters, ...args], {
    cwd: repositoryRoot,
    env,
    stdio: "inherit",
  });
  // A Ctrl+C reaches vitest by the terminal; what only we are sent is passed on.
  process.on("SIGINT", () => {});
  process.on("SIGTERM", () => child.kill("SIGTERM"));
  return new Promise((resolve) => {
    child.on("error", (error) => {
      say(`vitest could not be started: ${error.message}`);
      resolve(1);
    });
    child.on("exit", (code) => resolve(code ?? 1));
  });
}

/** @returns the exit code: vitest's, or 1 when nothing was tested at all */
async function tellCounts(report: string, exitCode: number): Promise<number> {
  const text = await readFile(report, "utf8").catch(() => undefined);
  if (text === undefined) {
    say("vitest wrote no report, so it ended before its tests did.");
    return exitCode === 0 ? 1 : exitCode;
  }
  const counts = countTests(JSON.parse(text));
  const isEmpty = counts.passed + counts.failed === 0;
  if (isEmpty) say("No test was run, and that is no success.");
  console.log(summaryOf(counts));
  return isEmpty && exitCode === 0 ? 1 : exitCode;
}
