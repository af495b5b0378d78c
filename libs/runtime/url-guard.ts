// Guards outgoing requests to addresses that customers choose: public ones, and those that a setting allows.
import { BlockList, isIP } from "node:net";

/**
 * IPv4 networks outside the public internet, by IANA's registries of special-purpose addresses. They include this
 * machine, private networks, and link-local addresses, where clouds serve their metadata.
 */
const specialIPv4: readonly [net: string, bits: number][] = [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.88.99.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 4],
  ["240.0.0.0", 4],
];

/**
 * In IPv6 only the global unicast block is public. Loopback, link-local, unique local, multicast, IPv4-mapped and NAT64
 * addresses are outside that block. Inside, 6to4 and Teredo lead to IPv4 addresses and are excluded too.
 */
const publicIPv6: [net: string, bits: number] = ["2000::", 3];
const specialIPv6: readonly [net: string, bits: number][] = [
  ["2001::", 23],
  ["2001:db8::", 32],
  ["2002::", 16],
  ["3fff::", 20],
];

const special4 = new BlockList();
for (const [net, bits] of specialIPv4) special4.addSubnet(net, bits, "ipv4");
const special6 = new BlockList();
for (const [net, bits] of specialIPv6) special6.addSubnet(net, bits, "ipv6");
const global6 = new BlockList();
global6.addSubnet(...publicIPv6, "ipv6");

/** Whether an IP address, given as text, is public. False if the text is not an address. */
export function isPublicAddress(address: string): boolean {
  const plain = withoutZone(address);
  switch (isIP(plain)) {
    case 4:
      return !special4.check(plain, "ipv4");
    case 6:
      return global6.check(plain, "ipv6") && !special6.check(plain, "ipv6");
    default:
      return false;
  }
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
