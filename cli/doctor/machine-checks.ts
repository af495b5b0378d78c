// Checks of this machine: Node.js, process limits, disk space and ports.
import { readFile, statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { z } from "zod";
import { isOlder } from "../servers/binary-specs.ts";
import { MAX_FILE_STORE_BYTES } from "../servers/nats.ts";
import { isPortFree } from "../servers/ports.ts";
import { check, type Finding, failure, ok, skipped, warning } from "./check.ts";
import { findPortHolder, type PortHolder } from "./port-holder.ts";
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
          `Install ${NODE_VERSION} or newer, which the services require.`,
        )
      : ok(`Node.js ${version} on ${platform}.`),
  ],
});

/** A gateway opens a file per connection, an agent process up to twenty per agent. */
const FILES = { minimum: 1024, recommended: 8192 };
const PROCESSES = { minimum: 256, recommended: 1024 };

export interface LimitFacts {
  readonly openFiles: number;
  readonly processes: number;
}

export const limitsCheck = check({
  name: "limits",
  title: "limits of a process",
  timeoutMs: 10_000,
  todo: "Run `ulimit -a`.",
  observe: async (_: Sources) => limitsOf(await readFile("/proc/self/limits", "utf8").catch(() => "")),
  judge(limits: LimitFacts | undefined) {
    if (limits === undefined) return [skipped("This system has no limits in /proc.")];
    const found = [
      ...limitFinding("open files", limits.openFiles, FILES, "-n"),
      ...limitFinding("processes", limits.processes, PROCESSES, "-u"),
    ];
    if (found.length > 0) return found;
    return [ok(`${limitText(limits.openFiles)} open files, ${limitText(limits.processes)} processes.`)];
  },
});

const limitText = (limit: number): string => (Number.isFinite(limit) ? String(limit) : "any number of");

function limitFinding(
  what: string,
  limit: number,
  { minimum, recommended }: { minimum: number; recommended: number },
  option: string,
): Finding[] {
  if (limit >= recommended) return [];
  const description = `A process is limited to ${limit} ${what}.`;
  const todo = `Raise the limit to at least ${recommended}: ulimit ${option} ${recommended}, or LimitNOFILE= and LimitNPROC= of the service.`;
  return [limit < minimum ? failure(description, todo) : warning(description, todo)];
}

/** Parses the soft limits from /proc/<pid>/limits (proc(5)). */
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

export type DiskFacts =
  | { readonly kind: "own"; readonly dataDir: string; readonly freeBytes: number }
  /** NATS runs elsewhere: JetStream's storage on one of its nodes. */
  | {
      readonly kind: "other";
      readonly monitorUrl: string;
      readonly usedBytes: number;
      readonly maxBytes: number;
    }
  | { readonly kind: "unknown" };

/** The part of /varz about JetStream's storage, in bytes. */
const Varz = z.object({
  jetstream: z
    .object({
      config: z.object({ max_storage: z.number() }).optional(),
      stats: z.object({ storage: z.number() }).optional(),
    })
    .optional(),
});

export const diskCheck = check({
  name: "disk",
  title: "space for NATS's data",
  timeoutMs: 10_000,
  todo: "Check that this user may write to GREENROOM_DATA_DIR, or that NATS answers at GREENROOM_NATS_MONITOR_URL.",
  observe: async ({ dataDir, isNatsGiven, monitorUrl }: Sources, signal): Promise<DiskFacts> => {
    if (!isNatsGiven) {
      const { bavail, bsize } = await statfs(await existing(dataDir));
      return { kind: "own", dataDir, freeBytes: bavail * bsize };
    }
    if (monitorUrl === undefined) return { kind: "unknown" };
    const response = await fetch(`${monitorUrl}/varz`, { signal });
    const { config, stats } = Varz.parse(await response.json()).jetstream ?? {};
    if (config === undefined || stats === undefined) return { kind: "unknown" };
    return { kind: "other", monitorUrl, usedBytes: stats.storage, maxBytes: config.max_storage };
  },
  judge(seen: DiskFacts) {
    if (seen.kind === "unknown")
      return [
        skipped(
          "Unknown. NATS shows the space of its node only on its monitoring port (GREENROOM_NATS_MONITOR_URL), and only with JetStream.",
        ),
      ];
    if (seen.kind === "other") return [storageFinding(seen)];
    const free = `${(seen.freeBytes / GIB).toFixed(1)} GiB`;
    const todo = `Free some space, or set GREENROOM_DATA_DIR to another disk. NATS needs up to ${MAX_FILE_STORE_BYTES / GIB} GiB, and after the disk was full it stores nothing until a restart.`;
    if (seen.freeBytes < GIB) return [failure(`${seen.dataDir} has ${free} left.`, todo)];
    if (seen.freeBytes < MAX_FILE_STORE_BYTES) return [warning(`${seen.dataDir} has ${free} left.`, todo)];
    return [ok(`${free} free at ${seen.dataDir}.`)];
  },
});

/** A share of the space that leaves time to act, and one that does not. */
const NEARLY_FULL = 0.8;
const FULL = 0.95;

function storageFinding({ maxBytes, monitorUrl, usedBytes }: Extract<DiskFacts, { kind: "other" }>): Finding {
  const share = usedBytes / maxBytes;
  const message = `JetStream at ${monitorUrl} uses ${(usedBytes / GIB).toFixed(1)} of ${(maxBytes / GIB).toFixed(1)} GiB.`;
  const todo =
    "Raise max_file_store in NATS's configuration if its disk has space, or shorten the retention.";
  if (share > FULL) return failure(message, todo);
  return share > NEARLY_FULL ? warning(message, todo) : ok(message);
}

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
  /** Whether the program on the port is the one that belongs there. */
  readonly isOurs: boolean;
  readonly holder: PortHolder | undefined;
}

export const portsCheck = check({
  name: "ports",
  title: "ports",
  timeoutMs: 15_000,
  todo: "Run `ss -ltnp` to see which programs use the ports.",
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
    seen.length === 0
      ? [skipped("No fixed ports are configured (GREENROOM_PORT=0).")]
      : seen.map(portFinding),
});

async function portFacts(
  service: PortFacts["service"],
  port: number,
  bind: string,
  isExpected: () => Promise<boolean>,
): Promise<PortFacts> {
  const isFree = await isPortFree(port, bind);
  return {
    service,
    port,
    isFree,
    isOurs: !isFree && (await isExpected()),
    holder: isFree ? undefined : findPortHolder(port),
  };
}

function portFinding({ service, port, isFree, isOurs, holder }: PortFacts): Finding {
  if (isFree) return ok(`Port ${port} is free for ${service === "gateway" ? "the gateway" : service}.`);
  const by = holder === undefined ? "another user's program" : `${holder.program} (process ${holder.pid})`;
  if (isOurs) return ok(`${service === "gateway" ? "A gateway" : service} listens on port ${port}.`);
  if (service !== "gateway")
    return ok(`Port ${port} is in use by ${by}. npm start gives ${service} another port.`);
  return failure(
    `The gateway can't open port ${port}: it is in use by ${by}, or GREENROOM_BIND is not an address of this machine.`,
    `Stop that program, or set GREENROOM_PORT to a free port.`,
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
