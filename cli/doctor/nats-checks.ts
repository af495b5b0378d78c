// Checks of NATS: its connection, permissions, JetStream, and sync interval.
import { z } from "zod";
import type { AccountFacts, ServerFacts } from "../../libs/bus/nats/inspect.ts";
import {
  probeStore,
  probeSubjects,
  type StoreProbe,
  type SubjectRights,
} from "../../libs/bus/nats/permissions.ts";
import { allBuckets } from "../../libs/contracts/buckets.ts";
import { isError, messageOf } from "../../libs/contracts/errors.ts";
import { allChannels } from "../../libs/contracts/streams.ts";
import { natsServer } from "../servers/binary-specs.ts";
import { check, type Finding, failure, ok, skipped, warning } from "./check.ts";
import type { Sources } from "./sources.ts";

const LARGEST_MESSAGE = Math.max(...allBuckets.map(({ maxValueBytes }) => maxValueBytes));
const KIB = 1024;
const MIB = 1024 * KIB;

export type Reached =
  | { readonly server: ServerFacts; readonly url: string }
  | { readonly server: undefined; readonly url: string; readonly reason: string; readonly isGiven: boolean };

export const natsCheck = check({
  name: "nats",
  title: "NATS",
  timeoutMs: 10_000,
  todo: "Check that nats-server is running and that NATS_URL points to it.",
  observe: async ({ nats, natsUrl, isNatsGiven }: Sources): Promise<Reached> => {
    const url = natsUrl.replace(/\/\/[^@/,]*@/g, "//");
    try {
      return { server: (await nats()).server, url };
    } catch (error) {
      if (!isError(error, "storage_unavailable")) throw error;
      const reason = messageOf((error as Error).cause ?? error);
      return { server: undefined, url, reason, isGiven: isNatsGiven };
    }
  },
  judge(seen: Reached): Finding[] {
    if (seen.server === undefined) {
      const description = `Failed to connect to NATS at ${seen.url}: ${seen.reason}.`;
      return [
        seen.isGiven
          ? failure(
              description,
              "Start that server, or set NATS_URL to a running one that accepts this client.",
            )
          : skipped(`${description} NATS_URL is not set. npm start runs its own NATS.`),
      ];
    }
    const { version, maxPayloadBytes, cluster, roundTripMs } = seen.server;
    const problem = natsServer.problemOf(version);
    if (problem !== undefined) return [failure(`${problem}.`, "Install a newer nats-server and restart it.")];
    const found = [
      ok(
        `nats-server ${version} answers at ${seen.url} in ${Math.round(roundTripMs)} ms${cluster === undefined ? "" : `, in the cluster ${cluster}`}.`,
      ),
    ];
    if (maxPayloadBytes < LARGEST_MESSAGE) {
      found.push(
        failure(
          `NATS limits messages to ${maxPayloadBytes / KIB} KiB, but the metadata of a session may have ${LARGEST_MESSAGE / KIB} KiB.`,
          "Set max_payload: 1MB in NATS's configuration.",
        ),
      );
    }
    return found;
  },
});

export type AccountSeen = { readonly account: AccountFacts } | { readonly refused: string };

export const jetstreamCheck = check({
  name: "jetstream",
  title: "JetStream",
  timeoutMs: 10_000,
  needs: ["nats"],
  todo: "Check that nats-server is started with JetStream (a jetstream block in its configuration, or -js).",
  observe: async ({ nats }: Sources): Promise<AccountSeen> => {
    try {
      return { account: await (await nats()).account() };
    } catch (error) {
      return { refused: messageOf(error) };
    }
  },
  judge(seen: AccountSeen): Finding[] {
    if ("refused" in seen) {
      return [
        failure(
          `JetStream is not available to this account: ${seen.refused}.`,
          "Start nats-server with a jetstream block in its configuration (or -js), and enable it for the account.",
        ),
      ];
    }
    const { storage, streams, limits, domain } = seen.account;
    const used = `${Math.ceil(storage / MIB)} MiB in ${streams} streams`;
    const where = domain === undefined || domain === "" ? "" : `, in the domain ${domain}`;
    if (limits.max_storage === 0) {
      return [failure("This account has no storage.", "Give the account JetStream storage (max_file).")];
    }
    const found = [ok(`JetStream is enabled${where}: ${used}.`)];
    const reserved = reservedBytes();
    if (limits.max_storage > 0 && limits.max_storage < reserved) {
      found.push(
        warning(
          `The account may store ${Math.floor(limits.max_storage / MIB)} MiB, but all streams and buckets together reserve ${Math.ceil(reserved / MIB)} MiB.`,
          "Raise the account's limit. Otherwise some streams can't be created.",
        ),
      );
    }
    const wanted = allChannels.length + allBuckets.length;
    if (limits.max_streams > 0 && limits.max_streams < wanted) {
      found.push(
        failure(
          `The account may have ${limits.max_streams} streams, but ${wanted} are needed, buckets included.`,
          "Raise the account's max_streams.",
        ),
      );
    }
    return found;
  },
});

const reservedBytes = (): number =>
  [...allChannels, ...allBuckets].reduce((sum, { maxBytes }) => sum + maxBytes, 0);

/** The part of /varz about JetStream's configuration. The interval is in ns. */
const Varz = z.object({
  now: z.string().optional(),
  jetstream: z
    .object({
      config: z
        .object({ sync_interval: z.number().optional(), sync_always: z.boolean().optional() })
        .optional(),
    })
    .optional(),
});

export interface SyncFacts {
  readonly monitorUrl: string | undefined;
  readonly replicas: number;
  readonly intervalMs: number | undefined;
  readonly isAlways: boolean;
}

export const syncCheck = check({
  name: "nats-sync",
  title: "NATS's sync interval",
  timeoutMs: 10_000,
  needs: ["jetstream"],
  todo: "Check that GREENROOM_NATS_MONITOR_URL is the http address of a NATS node.",
  observe: async ({ monitorUrl, config }: Sources, signal): Promise<SyncFacts> => {
    const replicas = config.GREENROOM_REPLICAS;
    if (monitorUrl === undefined) return { monitorUrl, replicas, intervalMs: undefined, isAlways: false };
    const response = await fetch(`${monitorUrl}/varz`, { signal });
    const { jetstream } = Varz.parse(await response.json());
    const ns = jetstream?.config?.sync_interval;
    return {
      monitorUrl,
      replicas,
      intervalMs: ns === undefined ? undefined : ns / 1e6,
      isAlways: jetstream?.config?.sync_always === true,
    };
  },
  judge({ monitorUrl, replicas, intervalMs, isAlways }: SyncFacts): Finding[] {
    if (monitorUrl === undefined) {
      return [
        skipped(
          "Unknown. NATS shows its sync_interval only on its monitoring port (GREENROOM_NATS_MONITOR_URL).",
        ),
      ];
    }
    if (isAlways) return [ok("Every acknowledged message is on disk (sync_interval: always).")];
    if (intervalMs === undefined) return [skipped(`${monitorUrl}/varz does not contain the sync interval.`)];
    const interval = intervalMs >= 1000 ? `${intervalMs / 1000} s` : `${intervalMs} ms`;
    const description = `Acknowledged messages reach the disk within ${interval} (sync_interval).`;
    if (intervalMs <= 1000) return [ok(description)];
    return [
      warning(
        `${description} ${replicas > 1 ? "If most nodes lose power at the same time, these messages are lost." : "If this machine loses power, these messages are lost."}`,
        `Set sync_interval: ${replicas > 1 ? '"1s"' : "always"} in the jetstream block (durations in quotes).`,
      ),
    ];
  },
});

export const subjectRightsCheck = check({
  name: "nats-rights",
  title: "permissions on subjects",
  timeoutMs: 10_000,
  needs: ["nats"],
  todo: "Check the permissions of this user in NATS's configuration.",
  observe: async ({ nats }: Sources) => await probeSubjects(await nats()),
  judge({ mayNotPublish, mayNotSubscribe }: SubjectRights): Finding[] {
    const found = [
      ...deniedFinding("publish on", mayNotPublish),
      ...deniedFinding("subscribe to", mayNotSubscribe),
    ];
    return found.length > 0
      ? found
      : [ok("The services may publish on and subscribe to all their subjects.")];
  },
});

const deniedFinding = (what: string, subjects: readonly string[]): Finding[] =>
  subjects.length === 0
    ? []
    : [
        failure(
          `NATS does not permit this user to ${what} ${subjects.join(", ")}.`,
          "Allow it in the user's permissions. docs/reference/contracts.md lists every subject.",
        ),
      ];

const REPLICAS_NOT_SUPPORTED = 10074;
const NO_SUITABLE_PEERS = 10005;

export const storeRightsCheck = check({
  name: "nats-store",
  title: "reading and writing",
  timeoutMs: 20_000,
  needs: ["jetstream"],
  todo: "Check NATS's /healthz, which shows streams without a leader and failed writes.",
  observe: async ({ nats, config }: Sources) => ({
    trial: await probeStore(await nats(), config.GREENROOM_REPLICAS),
    replicas: config.GREENROOM_REPLICAS,
  }),
  judge({ trial, replicas }: { trial: StoreProbe; replicas: number }): Finding[] {
    const { failed, tookMs } = trial;
    if (failed === undefined) {
      const copies = replicas === 1 ? "one copy" : `${replicas} copies`;
      return [
        ok(`Created, wrote, read, purged and removed a stream with ${copies} in ${Math.round(tookMs)} ms.`),
      ];
    }
    const description = `${failed.doing[0]?.toUpperCase()}${failed.doing.slice(1)} failed: ${failed.error}.`;
    if (failed.code === REPLICAS_NOT_SUPPORTED) {
      return [
        failure(
          `GREENROOM_REPLICAS is ${replicas}, but NATS is a single server, which supports only one copy.`,
          `Set GREENROOM_REPLICAS=1, or connect to a cluster of ${replicas} nodes.`,
        ),
      ];
    }
    if (failed.code === NO_SUITABLE_PEERS) {
      return [
        failure(
          `The cluster has no ${replicas} nodes with space for a copy: ${failed.error}.`,
          "Check that all nodes are running with JetStream and enough max_file_store, or lower GREENROOM_REPLICAS.",
        ),
      ];
    }
    return [
      failure(
        description,
        "Allow $JS.API.>, $JS.ACK.> and _INBOX.> in the user's permissions, and check NATS's /healthz.",
      ),
    ];
  },
});
