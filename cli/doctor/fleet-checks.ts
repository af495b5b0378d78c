// Checks of the running fleet: its services by their heartbeats, its hosts by a ping, and its pools.
import type { NatsInspector } from "../../libs/bus/nats/inspect.ts";
import { hosts as hostsBucket, pools as poolsBucket } from "../../libs/contracts/buckets.ts";
import { isError, messageOf } from "../../libs/contracts/errors.ts";
import { HostRecord, type Pong } from "../../libs/contracts/fleet/host.ts";
import { type Canary, PoolTarget, RoleName, ServiceHeartbeat } from "../../libs/contracts/fleet/pool.ts";
import { isExternal, isProviderHost } from "../../libs/contracts/providers/provider.ts";
import { pingCommand, serviceHeartbeats } from "../../libs/contracts/streams.ts";
import { DEAD_AFTER_MS, HEARTBEAT_MS } from "../../libs/fleet/heartbeat.ts";
import { check, type Finding, failure, note, ok, skipped, warning } from "./check.ts";
import { rulesIn } from "./sip-check.ts";
import type { Sources } from "./sources.ts";

const SERVICES = ["gateway", ...RoleName.options, "agent-host"] as const;
type Service = (typeof SERVICES)[number];

export interface ServicesSeen {
  /** The last heartbeat of each process; undefined if NATS does not answer. */
  readonly heartbeats: readonly ServiceHeartbeat[] | undefined;
  readonly isNatsGiven: boolean;
  /** Whether a setting assigns profiles to external providers. */
  readonly usesProviders: boolean;
}

/** The consequence of each service's absence. The absence of any other only delays something. */
const NEEDED: Partial<Record<Service, string>> = {
  gateway: "Clients can't reach Greenroom",
  dispatcher: "No session can start",
  janitor: "Deadlines and lost hosts go unnoticed",
};

export const servicesCheck = check({
  name: "services",
  title: "services",
  timeoutMs: DEAD_AFTER_MS + 6000,
  todo: "Start the services: npm start, greenroom dev in a project, or your process manager.",
  observe: async ({ nats, isNatsGiven, env }: Sources): Promise<ServicesSeen> => {
    const usesProviders = rulesIn(env).some(({ provider }) => isExternal(provider));
    try {
      return { heartbeats: await listen(await nats()), isNatsGiven, usesProviders };
    } catch (error) {
      if (!isError(error, "storage_unavailable")) throw error;
      return { heartbeats: undefined, isNatsGiven, usesProviders };
    }
  },
  judge({ heartbeats, isNatsGiven, usesProviders }: ServicesSeen): Finding[] {
    if (heartbeats === undefined && isNatsGiven)
      return [skipped("Unknown, because NATS does not answer. Services need it too.")];
    const processes = heartbeats?.filter(({ status }) => status !== "stopped") ?? [];
    if (!processes.some(({ status }) => status === "running"))
      return [failure(NOTHING_RUNS, servicesCheck.todo), ...processes.flatMap(statusFindings)];
    const running = (service: Service) =>
      processes.filter((each) => each.service === service && each.status === "running");
    const present = SERVICES.filter((service) => running(service).length > 0);
    const counts = present.map((service) => `${running(service).length} ${service}`).join(", ");
    return [
      ...SERVICES.filter((service) => !present.includes(service)).map((service) =>
        absence(service, usesProviders),
      ),
      ...processes.flatMap(statusFindings),
      ...versionFindings(processes),
      ok(`Running: ${counts}.`),
    ];
  },
});

/** The doctor exits with a code of its own if this is the only failure. */
export const NOTHING_RUNS = "Greenroom is not running: no service sends heartbeats.";

/** Listens until every service was heard, or until a silent one counts as dead. */
async function listen(inspector: NatsInspector): Promise<ServiceHeartbeat[]> {
  const heard = new Map<string, ServiceHeartbeat>();
  const stop = inspector.subscribe(serviceHeartbeats.subject, (message) => {
    const { success, data } = ServiceHeartbeat.safeParse(message);
    if (success) heard.set(`${data.service}/${data.instance}`, data);
  });
  const began = performance.now();
  const isWhole = () =>
    SERVICES.every((service) =>
      [...heard.values()].some((each) => each.service === service && each.status === "running"),
    );
  try {
    for (let tookMs = 0; tookMs < DEAD_AFTER_MS; tookMs = performance.now() - began) {
      // Another instance of a service may send its heartbeat last.
      if (tookMs > HEARTBEAT_MS * 1.25 && isWhole()) break;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  } finally {
    stop();
  }
  return [...heard.values()];
}

function absence(service: Service, usesProviders: boolean): Finding {
  const start = `Start it: npm run ${service}, or with the other roles npm run control.`;
  if (service === "agent-host") {
    return usesProviders
      ? note("No agent-host is running. Only profiles of other providers have agents.")
      : failure("No agent-host is running. No session gets an agent.", "Start one: npm run agent-host.");
  }
  if (service === "gateway")
    return failure(`No gateway is running. ${NEEDED.gateway}.`, "Start one: npm run gateway.");
  const consequence = NEEDED[service];
  if (consequence !== undefined) return failure(`No ${service} is running. ${consequence}.`, start);
  if (service === "providers" && usesProviders)
    return failure("No providers service is running. GREENROOM_PROVIDERS assigns profiles to it.", start);
  return note(`No ${service} service is running.`);
}

function statusFindings({ service, instance, status, reason }: ServiceHeartbeat): Finding[] {
  const because = reason === undefined ? "" : `: ${reason.replace(/\.$/, "")}`;
  const look = `Look at the log of ${instance}.`;
  if (status === "failed") return [failure(`${service} (${instance}) keeps failing${because}.`, look)];
  return status === "running" && reason !== undefined
    ? [warning(`${service} (${instance}) is degraded${because}.`, look)]
    : [];
}

function versionFindings(processes: readonly ServiceHeartbeat[]): Finding[] {
  const byVersion = new Map<string, string[]>();
  for (const { service, instance, version = "an earlier version" } of processes) {
    // A supervisor sends the heartbeats of its servers.
    if (service === "nats" || service === "livekit") continue;
    byVersion.set(version, [...(byVersion.get(version) ?? []), instance]);
  }
  if (byVersion.size < 2) return [];
  const list = [...byVersion].map(([version, names]) => `${version} (${names.join(", ")})`).join(" and ");
  return [
    warning(
      `The processes have different versions: ${list}.`,
      "Finish the update: restart the older processes.",
    ),
  ];
}

/** A registered host, and its answer to a ping. */
export interface HostSeen {
  readonly record: HostRecord;
  readonly pong: Pick<Pong, "livekitError"> | { readonly silence: string };
}

const ANSWER_MS = 6000;

export const hostsCheck = check({
  name: "hosts",
  title: "hosts",
  timeoutMs: ANSWER_MS + 6000,
  needs: ["jetstream", "services"],
  todo: "Look at the log of the agent-hosts.",
  observe: async ({ nats }: Sources): Promise<HostSeen[]> => {
    const inspector = await nats();
    const records = await newestOf(inspector, hostsBucket.name, HostRecord);
    return await Promise.all(
      records
        .filter(({ hostId }) => !isProviderHost(hostId))
        .map(async (record) => ({ record, pong: await ping(inspector, record.hostId) })),
    );
  },
  judge: (hosts: readonly HostSeen[]): Finding[] =>
    hosts.length === 0 ? [skipped("No host is registered.")] : hosts.flatMap(hostFindings),
});

async function ping({ connection }: NatsInspector, hostId: string): Promise<HostSeen["pong"]> {
  const subject = pingCommand.subjectOf(hostId);
  try {
    const answer = await connection.request(subject, JSON.stringify({ askLiveKit: true }), {
      timeout: ANSWER_MS,
    });
    return pingCommand.answer.parse(answer.json());
  } catch (error) {
    return { silence: messageOf(error) };
  }
}

function hostFindings({ record, pong }: HostSeen): Finding[] {
  const { hostId, draining, sessions, profiles } = record;
  if ("silence" in pong) {
    return [
      failure(
        `${hostId} is registered, but does not answer (${pong.silence}).`,
        "If its machine is gone, a janitor removes it within seconds. Otherwise look at its log.",
      ),
    ];
  }
  if (pong.livekitError !== undefined) {
    return [
      failure(
        `${hostId} can't use LiveKit: ${pong.livekitError.replace(/\.$/, "")}.`,
        "Check LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET of that host, and its network.",
      ),
    ];
  }
  if (draining) return [warning(`${hostId} is draining: ${sessions} sessions left.`, "Wait, or undrain it.")];
  const usable = Object.values(profiles).filter(({ status }) => status === "running").length;
  return [ok(`${hostId} answers and reaches LiveKit. It runs ${usable} profiles and ${sessions} sessions.`)];
}

export interface PoolsSeen {
  readonly hosts: readonly HostRecord[];
  readonly targets: readonly PoolTarget[];
}

export const poolsCheck = check({
  name: "pools",
  title: "pools",
  timeoutMs: 10_000,
  needs: ["hosts"],
  todo: "See GET /api/pools.",
  observe: async ({ nats }: Sources): Promise<PoolsSeen> => {
    const inspector = await nats();
    const [hosts, targets] = await Promise.all([
      newestOf(inspector, hostsBucket.name, HostRecord),
      newestOf(inspector, poolsBucket.name, PoolTarget),
    ]);
    return { hosts: hosts.filter(({ draining }) => !draining), targets };
  },
  judge({ hosts, targets }: PoolsSeen): Finding[] {
    const names = [...new Set(hosts.flatMap(({ profiles }) => Object.keys(profiles)))].sort();
    const findings = names.flatMap((name) => poolFindings(hosts, name, targets));
    return findings.length > 0 ? findings : [skipped("No host has a profile.")];
  },
});

function poolFindings(
  hosts: readonly HostRecord[],
  name: string,
  targets: readonly PoolTarget[],
): readonly Finding[] {
  const parts = hosts.flatMap(({ profiles }) => profiles[name] ?? []);
  const failed = parts.find(({ status }) => status === "failed");
  const runs = parts.some(({ status }) => status === "running");
  if (!runs && failed !== undefined)
    return [
      failure(`${name} fails on every host: ${failed.error}.`, "Fix the cause, then see GET /api/pools."),
    ];
  // The check of agent files explains a disabled profile.
  if (!runs) return [];
  const sum = (of: "warm" | "hot" | "warming" | "busy" | "max") =>
    parts.reduce((all, part) => all + part[of], 0);
  const [idle, busy, max] = [sum("warm") + sum("hot"), sum("busy"), sum("max")];
  if (busy >= max && max > 0)
    return [
      warning(`All ${max} agents of ${name} are busy. New sessions wait.`, "Add a host, or raise max."),
    ];
  const target = targets.find(({ profile }) => profile === name);
  const wanted = Math.min(target?.min ?? 0, max - busy);
  const state = `${name} has ${idle} of ${wanted} idle agents, and ${busy} of ${max} busy`;
  const versions = versionFindingsOf(hosts, name, target?.canary);
  if (idle >= wanted) return [ok(`${state}.`), ...versions];
  const warming = sum("warming");
  return [
    ...versions,
    warning(
      `${state}${warming > 0 ? `; ${warming} are warming up` : ""}.`,
      "Run the doctor again in a few seconds. If the number does not rise, look at the hosts' logs.",
    ),
  ];
}

/** Different versions are normal during a deployment. A canary that no host has is most likely a mistake. */
function versionFindingsOf(
  hosts: readonly HostRecord[],
  name: string,
  canary: Canary | undefined,
): readonly Finding[] {
  const byVersion = new Map<string, string[]>();
  for (const { hostId, profiles } of hosts) {
    const version = profiles[name]?.version;
    if (version !== undefined) byVersion.set(version, [...(byVersion.get(version) ?? []), hostId]);
  }
  const list = [...byVersion].map(([version, ids]) => `${version} (${ids.join(", ")})`).join(" and ");
  return [
    ...(byVersion.size > 1 ? [note(`The hosts have different versions of ${name}: ${list}.`)] : []),
    ...(canary === undefined || byVersion.has(canary.version)
      ? []
      : [
          warning(
            `No host has version ${canary.version}, the canary of ${name}.`,
            `Start a host with it, or remove the canary: DELETE /api/pools/${name}/canary.`,
          ),
        ]),
  ];
}

/** The newest readable value of each key. */
async function newestOf<T>(
  inspector: NatsInspector,
  bucket: string,
  schema: { safeParse(value: unknown): { success: boolean; data?: T } },
): Promise<T[]> {
  const stored = await inspector.stored(`KV_${bucket}`, `$KV.${bucket}.>`, 10_000);
  return stored.flatMap(({ text }) => {
    const read = text === undefined ? undefined : schema.safeParse(JSON.parse(text));
    return read?.success && read.data !== undefined ? [read.data] : [];
  });
}
