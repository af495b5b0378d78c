// Guards outgoing requests to addresses that customers choose: public ones, and those that a setting allows.
import { BlockList, isIP } from "node:net";
import ipaddr from "ipaddr.js";

/** Whether an IP address, given as text, is public by IANA's registries. False if the text is not an address. */
export function isPublicAddress(address: string): boolean {
  const plain = withoutZone(address);
  // ipaddr.js accepts more notations than the socket does.
  if (isIP(plain) === 0) return false;
  const parsed = ipaddr.parse(plain);
  // In IPv6 only the block 2000::/3 is global unicast.
  const isGlobal = !(parsed instanceof ipaddr.IPv6) || (parsed.parts[0] ?? 0) >> 13 === 1;
  return isGlobal && parsed.range() === "unicast";
}

/** Targets that may be called although they are not public. */
export interface AllowedTargets {
  /** Whether this name may be called, whatever address it resolves to. */
  readonly hasHost: (host: string) => boolean;
  readonly hasAddress: (address: string) => boolean;
}

/**
 * Parses names, addresses and networks separated by commas: `hooks.internal, 10.2.0.0/16, ::1`.
 * @throws Error that names the invalid entry
 */
export function readAllowedTargets(text: string | undefined): AllowedTargets {
  const hosts = new Set<string>();
  const addresses = new BlockList();
  for (const entry of (text ?? "").split(",").map((part) => part.trim().toLowerCase())) {
    if (entry === "") continue;
    const [net = "", bits, ...more] = entry.replace(/^\[(.*)\]$/, "$1").split("/");
    const family = isIP(net) === 4 ? "ipv4" : "ipv6";
    if (isIP(net) === 0) {
      if (!/^[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?$/.test(entry)) throw invalid(entry);
      hosts.add(entry);
    } else if (bits === undefined) addresses.addAddress(net, family);
    else {
      const length = /^\d{1,3}$/.test(bits) ? Number(bits) : Number.NaN;
      if (more.length > 0 || !(length <= (family === "ipv4" ? 32 : 128))) throw invalid(entry);
      addresses.addSubnet(net, length, family);
    }
  }
  return {
    hasHost: (host) => hosts.has(host.toLowerCase().replace(/\.$/, "")),
    hasAddress: (address) => {
      const plain = withoutZone(address);
      const family = isIP(plain);
      return family !== 0 && addresses.check(plain, family === 4 ? "ipv4" : "ipv6");
    },
  };
}

const invalid = (entry: string): Error =>
  new Error(
    `"${entry}" is not a host name, address or network. Examples: hooks.internal, 10.1.2.3, 10.0.0.0/8`,
  );

/** Drops the zone of `fe80::1%eth0`, which names a network interface of this machine. */
const withoutZone = (address: string): string => address.split("%")[0] ?? "";

/** Whether a connection to `host` may go to `address`. */
export const isCallable = (allowed: AllowedTargets, host: string, address: string): boolean =>
  isPublicAddress(address) || allowed.hasHost(host) || allowed.hasAddress(address);

/**
 * Why a customer's URL must not be called, as far as this can be decided without DNS. Undefined if it may be tried. The
 * caller must also check the resolved address of each connection, because a name may resolve to a private address.
 */
export function refusalOf(allowed: AllowedTargets, text: string): string | undefined {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return "it is not a URL";
  }
  if (url.protocol !== "https:" && url.protocol !== "http:") return "only http:// and https:// are allowed";
  if (url.username !== "" || url.password !== "") return "it contains a user name or password";
  const host = hostOf(url);
  if (host === "") return "it has no host";
  if (allowed.hasHost(host)) return undefined;
  if (isIP(host) !== 0)
    return isCallable(allowed, host, host) ? undefined : `${host} is not a public address`;
  if (host === "localhost" || host.endsWith(".localhost")) {
    const isAllowed = allowed.hasAddress("127.0.0.1") || allowed.hasAddress("::1");
    return isAllowed ? undefined : `${host} is the server itself`;
  }
  return undefined;
}

/** The host of a URL as DNS and sockets expect it: lower case, an IPv6 address without its brackets. */
export const hostOf = (url: URL): string =>
  url.hostname
    .replace(/^\[(.*)\]$/, "$1")
    .replace(/\.$/, "")
    .toLowerCase();
