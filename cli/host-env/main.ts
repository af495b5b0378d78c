// `greenroom host-env`: prints the settings with which an agent-host on another machine joins this Greenroom.
import { resolve } from "node:path";
import { ConfigError, readConfig } from "../../libs/runtime/config.ts";
import { readArguments } from "../arguments.ts";
import { findLocal } from "../doctor/find-local.ts";
import { localSettings } from "../supervisor/config.ts";
import { hostEnv, lineOf } from "./host-env.ts";

const USAGE = `Usage: greenroom host-env [--json]

Prints the addresses and keys of NATS and LiveKit with which another machine runs greenroom host. They come from
the environment, or else from the Greenroom on this machine. The output contains secrets.

  greenroom host-env > host.env                          on this machine
  set -a && . ./host.env && npx greenroom host           on the other machine

  --json  print one JSON object with the settings and the warnings

Exits with 1 if a setting is missing. An address that another machine can't reach is a warning.`;

process.exitCode = await main();

async function main(): Promise<number> {
  const { values } = readArguments(USAGE, { json: { type: "boolean" } });
  const { env, warnings, missing } = hostEnv(process.env, await findLocal(dataDir()));
  if (values.json === true) console.log(JSON.stringify({ env, warnings, missing }, null, 2));
  else for (const entry of Object.entries(env)) console.log(lineOf(entry));
  for (const warning of warnings) console.error(`warning: ${warning}`);
  if (missing.length > 0)
    console.error(`missing: ${missing.join(", ")}. Set them, or run this command where greenroom dev runs.`);
  return missing.length > 0 ? 1 : 0;
}

/** Ends the process with 78 for invalid settings. */
function dataDir(): string {
  try {
    const { GREENROOM_DATA_DIR } = localSettings;
    return resolve(readConfig({ GREENROOM_DATA_DIR }, process.env).GREENROOM_DATA_DIR);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    console.error(error.message);
    process.exit(78);
  }
}
