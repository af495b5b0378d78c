// Checks of the machine that this runs on: Node, its limits, the disk, and which ports are taken by whom.
import { readFile, statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { isOlder } from "../servers/binary-specs.ts";
import { MAX_FILE_STORE_BYTES } from "../servers/nats.ts";
import { isPortFree } from "../servers/ports.ts";
import { check, type Finding, failure, ok, skipped, warning } from "./check.ts";
import { type PortHolder, whoHas } from "./port-holder.ts";
import type { Sources } from "./sources.ts";

const NODE_VERSION = "20.19.0";

export const nodeCheck = check({
  name: "node",
  title: "Node.js",
  timeoutMs: 10_000,
  todo: `Install Node.js ${NODE_VERSION} or newer.`,
  observe: async (_: Sources) => ({
    version: process.versions.node,
    platform: `${process.platform} ${process.arch}`,
  }),
  judge: ({ version, platform }) => [
    isOlder(version, NODE_VERSION)
      ? failure(
          `Node.js ${version} is too old.`,
          `Install ${NODE_VERSION} or newer: the services use what it brought.`,
        )
      : ok(`Node.js ${version} on ${platform}.`),
  ],
});

/** A gateway holds a file for each connection, a stage a dozen for each agent. */
const FILES = { least: 1024, good: 8192 };
const PROCESSES = { least: 256, good: 1024 };

export interface LimitFacts {
  readonly openFiles: number;
  readonly processes: number;
}

export const limitsCheck = check({
  name: "limits",
  title: "limits of a process",
  timeoutMs: 10_000,
  todo: "See `ulimit -a`.",
  observe: async (_: Sources) => limitsOf(await readFile("/proc/self/limits", "utf8").catch(() => "")),
  judge(limits: LimitFacts | undefined) {
    if (limits === undefined) return [skipped("This system doesn't tell its limits in /proc.")];
    const found = [
      ...limitFinding("open files", limits.openFiles, FILES, "-n"),
      ...limitFinding("processes", limits.processes, PROCESSES, "-u"),
    ];
    if (found.length > 0) return found;
    return [ok(`${shownLimit(limits.openFiles)} open files, ${shownLimit(limits.processes)} processes.`)];
  },
});

const shownLimit = (limit: number): string => (Number.isFinite(limit) ? String(limit) : "any number of");

function limitFinding(
  what: string,
  limit: number,
  { least, good }: { least: number; good: number },
  option: string,
): Finding[] {
  if (limit >= good) return [];
  const description = `A process may have ${limit} ${what} only.`;
  const todo = `Raise it to ${good} or more: ulimit ${option} ${good}, or LimitNOFILE= and LimitNPROC= of the service.`;
  return [limit < least ? failure(description, todo) : warning(description, todo)];
}

/** The soft limits, from the table of /proc/<pid>/limits (proc(5)). */
export function limitsOf(text: string): LimitFacts | undefined {
  const of = (name: string): number | undefined => {
    const soft = new RegExp(`^${name}\\s+(\\S+)`, "m").exec(text)?.[1];
    return soft === undefined ? undefined : soft === "unlimited" ? Number.POSITIVE_INFINITY : Number(soft);
  };
  const openFiles = of("Max open files");
  const processes = of("Max processes");
  return openFiles === undefined || processes === undefined ? undefined : { openFiles, processes };
}

const GIB = 1024 ** 3;

export const diskCheck = check({
  name: "disk",
  title: "room for NATS's data",
  timeoutMs: 10_000,
  todo: "See that GREENROOM_DATA_DIR is a directory that this user may write to.",
  observe: async ({ dataDir, isNatsGiven }: Sources) => {
    if (isNatsGiven) return undefined;
    const { bavail, bsize } = await statfs(await existing(dataDir));
    return { dataDir, freeBytes: bavail * bsize };
  },
  judge(seen: { dataDir: string; freeBytes: number } | undefined) {
    if (seen === undefined) return [skipped("NATS_URL is set: that server keeps its data where it is.")];
    const free = `${(seen.freeBytes / GIB).toFixed(1)} GiB`;
    const todo = `Make room, or set GREENROOM_DATA_DIR to another disk: NATS takes up to ${MAX_FILE_STORE_BYTES / GIB} GiB, and on a full disk it stores nothing until it is restarted.`;
    if (seen.freeBytes < GIB) return [failure(`${seen.dataDir} has ${free} left.`, todo)];
    if (seen.freeBytes < MAX_FILE_STORE_BYTES) return [warning(`${seen.dataDir} has ${free} left.`, todo)];
    return [ok(`${free} are free at ${seen.dataDir}.`)];
  },
});

async function existing(dir: string): Promise<string> {
  for (let at = dir; ; at = dirname(at)) {
    if (await isThere(at)) return at;
    if (dirname(at) === at) return at;
  }
}

const isThere = (dir: string): Promise<boolean> =>
  statfs(dir).then(
    () => true,
    () => false,
  );

export interface PortFacts {
  readonly service: "gateway" | "NATS" | "LiveKit";
  readonly port: number;
  readonly isFree: boolean;
  /** What answers there is what belongs there. */
  readonly isOurs: boolean;
  readonly holder: PortHolder | undefined;
}

export const portsCheck = check({
  name: "ports",
  title: "ports",
  timeoutMs: 15_000,
  todo: "See which programs listen: ss -ltnp",
  observe: async ({
    config,
    isNatsGiven,
    isLiveKitGiven,
    natsUrl,
    livekit,
  }: Sources): Promise<PortFacts[]> => {
    const { GREENROOM_BIND: bind, GREENROOM_PORT: port } = config;
    const reach = ["0.0.0.0", "::"].includes(bind) ? "127.0.0.1" : bind;
    return await Promise.all([
      ...(port === 0 ? [] : [portFacts("gateway", port, bind, () => isGateway(`http://${reach}:${port}`))]),
      ...(isNatsGiven ? [] : [portFacts("NATS", 4222, "127.0.0.1", async () => natsUrl.includes(":4222"))]),
      ...(isLiveKitGiven || config.LIVEKIT_MOCK_MODE
        ? []
        : [portFacts("LiveKit", 7880, "127.0.0.1", async () => livekit?.url.endsWith(":7880") === true)]),
    ]);
  },
  judge: (seen: readonly PortFacts[]) =>
    seen.length === 0 ? [skipped("Any free port is taken (GREENROOM_PORT=0).")] : seen.map(portFinding),
});

async function portFacts(
  service: PortFacts["service"],
  port: number,
  bind: string,
  belongs: () => Promise<boolean>,
): Promise<PortFacts> {
  const isFree = await isPortFree(port, bind);
  return {
    service,
    port,
    isFree,
    isOurs: !isFree && (await belongs()),
    holder: isFree ? undefined : whoHas(port),
  };
}

function portFinding({ service, port, isFree, isOurs, holder }: PortFacts): Finding {
  if (isFree) return ok(`Port ${port} is free for ${service === "gateway" ? "the gateway" : service}.`);
  const by = holder === undefined ? "another user's program" : `${holder.program} (process ${holder.pid})`;
  if (isOurs) return ok(`${service === "gateway" ? "A gateway" : service} listens on port ${port}.`);
  if (service !== "gateway") return ok(`Port ${port} is taken by ${by}; npm start gives ${service} another.`);
  return failure(
    `Port ${port}, which the gateway is to listen on, is taken by ${by}, or is not this machine's to give.`,
    `End that program, or set GREENROOM_PORT to a free port.`,
  );
}

async function isGateway(url: string): Promise<boolean> {
  try {
    const response = await fetch(`${url}/livez`, { signal: AbortSignal.timeout(2000) });
    return (
      response.headers.has("x-request-id") &&
      ((await response.json()) as { success?: unknown }).success === true
    );
  } catch {
    return false;
  }
}
