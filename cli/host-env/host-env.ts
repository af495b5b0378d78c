// The settings with which an agent-host on another machine joins this Greenroom.
import ipaddr from "ipaddr.js";
import type { LocalServers } from "../doctor/find-local.ts";

type Env = Readonly<Record<string, string | undefined>>;

export interface HostEnv {
  readonly env: Readonly<Record<string, string>>;
  readonly warnings: readonly string[];
  readonly missing: readonly string[];
}

const REQUIRED = ["NATS_URL", "LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET"];
/** A host has the same value as every other process. */
const SAME_EVERYWHERE = ["LIVEKIT_PUBLIC_URL", "GREENROOM_TENANT", "GREENROOM_REPLICAS"];

/** @param local the servers on this machine, which serve unless the environment names others */
export function hostEnv(given: Env, local: LocalServers): HostEnv {
  const { livekit } = local;
  const found: Env = given.LIVEKIT_URL
    ? given
    : {
        ...given,
        LIVEKIT_URL: livekit?.url,
        LIVEKIT_API_KEY: livekit?.apiKey,
        LIVEKIT_API_SECRET: livekit?.apiSecret,
      };
  const values: Env = { ...found, NATS_URL: given.NATS_URL || local.natsUrl };
  const env = Object.fromEntries(
    [...REQUIRED, ...SAME_EVERYWHERE].flatMap((name) => (values[name] ? [[name, values[name]]] : [])),
  );
  return {
    env,
    warnings: ["NATS_URL", "LIVEKIT_URL"].flatMap((name) => loopbackWarnings(name, env[name])),
    missing: REQUIRED.filter((name) => !env[name]),
  };
}

function loopbackWarnings(name: string, urls = ""): string[] {
  const all = urls.split(",").filter((url) => url !== "");
  if (!all.every((url) => URL.canParse(withScheme(url)))) return [`${name}: is not a valid address.`];
  const local = all.filter(isLoopback);
  if (local.length === 0) return [];
  const servers = local.join(", ");
  return [
    `${name}: another machine can't reach ${servers}. Run the server where both reach it, and set ${name} to its address.`,
  ];
}

const withScheme = (url: string): string => (url.includes("://") ? url : `nats://${url}`);

function isLoopback(url: string): boolean {
  const host = new URL(withScheme(url)).hostname.replace(/^\[|\]$/g, "");
  if (host === "localhost" || host.endsWith(".localhost")) return true;
  return ipaddr.isValid(host) && ["loopback", "unspecified"].includes(ipaddr.process(host).range());
}

/** One line for a shell and for --env-file. */
export const lineOf = ([name, value]: [string, string]): string =>
  `${name}=${/^[\w:/.,@+=-]*$/.test(value) ? value : `'${value.replaceAll("'", "'\\''")}'`}`;
