// `npm test` and `npm run test:full`: installs missing servers and tools, then runs the tests.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findBinary } from "../cli/servers/binaries.ts";
import { livekitServer, natsServer } from "../cli/servers/binary-specs.ts";
import { messageOf } from "../libs/contracts/errors.ts";
import { unmountBelow } from "./kit/servers/loop-disk.ts";
import { ensureTools } from "./kit/servers/tools.ts";
import { readArguments, type TestArguments, usage } from "./runner/arguments.ts";
import { TestRun } from "./runner/test-run.ts";
import { readTimings, recordTimings, timingLines } from "./runner/timings.ts";

process.exit(await main(process.argv.slice(2)));

async function main(argv: readonly string[]): Promise<number> {
  let selected: TestArguments;
  try {
    selected = readArguments(argv);
  } catch (error) {
    console.error(messageOf(error));
    return 2;
  }
  if (selected.showHelp) {
    console.log(usage);
    return 0;
  }
  if (selected.showTimings) {
    console.log(timingLines(readTimings()).join("\n"));
    return 0;
  }
  let env: NodeJS.ProcessEnv;
  try {
    env = await prepare();
  } catch (error) {
    console.error(messageOf(error));
    return 1;
  }
  const directory = await mkdtemp(join(tmpdir(), "greenroom-test-"));
  try {
    // Deleting this directory removes all temporary files of the tests, including those of killed workers.
    const run = new TestRun({ env: { ...env, TMPDIR: directory }, directory, selected });
    const exitCode = await run.go();
    if (selected.record) recordTimings(run.reports);
    console.log(run.summary());
    return exitCode;
  } finally {
    await unmountBelow(directory);
    await rm(directory, { recursive: true, force: true });
  }
}

/** @throws Error that names the missing server or program, and how to get it */
async function prepare(): Promise<NodeJS.ProcessEnv> {
  const report = (line: string) => console.error(line);
  return {
    ...process.env,
    GREENROOM_NATS_SERVER: await findBinary(natsServer, { env: process.env, report }),
    GREENROOM_LIVEKIT_SERVER: await findBinary(livekitServer, { env: process.env, report }),
    ...(await ensureTools(process.env, report)),
  };
}
