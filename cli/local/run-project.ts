// `greenroom dev` and `greenroom start`: everything on this machine, with the agent files of one folder.
import open from "open";
import { messageOf } from "../../libs/contracts/errors.ts";
import { failUsage, readArguments } from "../arguments.ts";
import { localServices, SHAPES } from "../supervisor/local-services.ts";
import { runLocal } from "../supervisor/run-local.ts";
import { findAgents, USUAL_FOLDERS } from "./agents-folder.ts";

const OPTIONS = {
  port: { type: "string" },
  "nats-port": { type: "string" },
  "livekit-port": { type: "string" },
  shape: { type: "string" },
  "no-open": { type: "boolean" },
  "no-reload": { type: "boolean" },
} as const;

const USAGE = {
  dev: `Usage: greenroom dev [folder] [options]

Runs NATS, LiveKit and Greenroom on this machine, loads a changed agent file again, and opens the page.

  folder                 the folder of the agent files; default: GREENROOM_AGENTS_DIR, or the first of
                         ${USUAL_FOLDERS.join(", ")} that has some
  --port <port>          the gateway's port; default 8080 (GREENROOM_PORT)
  --nats-port <port>     the port of NATS; default 4222 (GREENROOM_NATS_PORT)
  --livekit-port <port>  the port of LiveKit; default 7880 (GREENROOM_LIVEKIT_PORT)
  --shape <shape>        control (default): one process for all roles; roles: a process for each role
  --no-open              doesn't open the page. It is opened only on a terminal, and never in CI
  --no-reload            doesn't watch the agent files

Ctrl+C stops everything within 10 s. Settings come from the environment.`,
  start: `Usage: greenroom start [folder] [options]

Runs NATS, LiveKit and Greenroom on this machine: like greenroom dev, but loads no changed file and opens no page.
The folder, --port, --nats-port, --livekit-port and --shape are those of greenroom dev.`,
};

/** Runs until a stop, and ends the process. */
export async function runProject(command: keyof typeof USAGE): Promise<void> {
  const usage = USAGE[command];
  const { values, positionals } = readArguments(usage, OPTIONS, 1);
  const { shape = "control" } = values;
  const known = SHAPES.find((each) => each === shape);
  if (known === undefined) failUsage(usage, `--shape takes ${SHAPES.join(" or ")}, not "${shape}".`);
  const isDev = command === "dev";
  const env = {
    ...process.env,
    ...ports(values),
    GREENROOM_AGENTS_DIR: await agentsFolder(positionals[0], process.env.GREENROOM_AGENTS_DIR),
    ...(isDev ? { GREENROOM_RELOAD_AGENTS: reloads(values["no-reload"]) } : {}),
  };
  const opensPage = isDev && values["no-open"] !== true && !process.env.CI;
  await runLocal({
    env,
    services: localServices(known, env),
    ports: { nats: 4222, livekit: 7880 },
    ...(opensPage ? { onReady: openPage } : {}),
  });
}

const reloads = (isOff: boolean | undefined): string =>
  isOff === true ? "false" : process.env.GREENROOM_RELOAD_AGENTS || "true";

function ports(values: { readonly [name: string]: string | boolean | undefined }): Record<string, string> {
  const names = {
    port: "GREENROOM_PORT",
    "nats-port": "GREENROOM_NATS_PORT",
    "livekit-port": "GREENROOM_LIVEKIT_PORT",
  };
  return Object.fromEntries(
    Object.entries(names).flatMap(([option, name]) =>
      typeof values[option] === "string" ? [[name, values[option]]] : [],
    ),
  );
}

/** Ends the process with 1 if there is no agent file. */
async function agentsFolder(named: string | undefined, setting: string | undefined): Promise<string> {
  if (named === undefined && setting) return setting;
  try {
    const { folder, profiles } = await findAgents(named);
    if (profiles.length > 0) return folder;
    console.error(
      named === undefined
        ? `Found no agent file in ${USUAL_FOLDERS.join(", ")}. Name the folder of your agent files.`
        : `Found no agent file in ${named}: a TypeScript or JavaScript file whose name does not begin with _.`,
    );
  } catch (error) {
    console.error(messageOf(error));
  }
  process.exit(1);
}

/** A machine without a browser has the address in the banner. */
const openPage = (apiUrl: string): void => {
  open(`${apiUrl}/`).catch(() => {});
};
