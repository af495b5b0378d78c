// Which addresses on the network may be called for somebody else: public ones, and those that a setting allows.
import { BlockList, isIP } from "node:net";

/**
 * Everything that isn't the public internet (IANA's registries of special addresses): this machine, private and
 * shared networks, link-local ones with the clouds' metadata services, documentation, multicast, reserved.
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
 * Of IPv6 only the global unicast block is public; loopback, link-local, unique local, multicast, IPv4-mapped and
 * NAT64 addresses are outside of it. Inside of it, what leads to an IPv4 address by 6to4 or Teredo isn't either.
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

/** Whether an IP address, as text, belongs to the public internet. False for what is no address. */
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

/** What may be called though it isn't public. */
export interface AllowedTargets {
  /** Whether this name may be called wherever it leads. */
  readonly hasHost: (host: string) => boolean;
  readonly hasAddress: (address: string) => boolean;
}

/**
 * A list of names, addresses and networks, separated by commas: `hooks.internal, 10.2.0.0/16, ::1`.
 * @throws Error that names the entry that can't be used
 */
export function readAllowedTargets(text: string | undefined): AllowedTargets {
  const hosts = new Set<string>();
  const addresses = new BlockList();
  for (const entry of (text ?? "").split(",").map((part) => part.trim().toLowerCase())) {
    if (entry === "") continue;
    const [net = "", bits, ...more] = entry.replace(/^\[(.*)\]$/, "$1").split("/");
    const family = isIP(net) === 4 ? "ipv4" : "ipv6";
    if (isIP(net) === 0) {
      if (!/^[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?$/.test(entry)) throw unusable(entry);
      hosts.add(entry);
    } else if (bits === undefined) addresses.addAddress(net, family);
    else {
      const length = /^\d{1,3}$/.test(bits) ? Number(bits) : Number.NaN;
      if (more.length > 0 || !(length <= (family === "ipv4" ? 32 : 128))) throw unusable(entry);
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

const unusable = (entry: string): Error =>
  new Error(`"${entry}" is no host name, address or network, as hooks.internal, 10.1.2.3 or 10.0.0.0/8`);

/** `fe80::1%eth0` names an interface of this machine besides. */
const withoutZone = (address: string): string => address.split("%")[0] ?? "";

/** Whether a connection that was asked for by name may go to an address. */
export const isCallable = (allowed: AllowedTargets, host: string, address: string): boolean =>
  isPublicAddress(address) || allowed.hasHost(host) || allowed.hasAddress(address);

/**
 * Why a URL can't be called for somebody else, as far as that can be told without asking the DNS; undefined when it
 * may be tried. A name that leads to a private address is found out when it is called, each time anew.
 */
export function refusalOf(allowed: AllowedTargets, text: string): string | undefined {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return "it is no URL";
  }
  if (url.protocol !== "https:" && url.protocol !== "http:") return "only http:// and https:// are called";
  if (url.username !== "" || url.password !== "") return "it holds a user name or password";
  const host = hostOf(url);
  if (host === "") return "it names no host";
  if (allowed.hasHost(host)) return undefined;
  if (isIP(host) !== 0)
    return isCallable(allowed, host, host) ? undefined : `${host} is not a public address`;
  if (host === "localhost" || host.endsWith(".localhost")) {
    const isAllowed = allowed.hasAddress("127.0.0.1") || allowed.hasAddress("::1");
    return isAllowed ? undefined : `${host} is this machine`;
  }
  return undefined;
}

/** The host of a URL as the DNS and the socket know it: an IPv6 address without its brackets. */
export const hostOf = (url: URL): string =>
  url.hostname
    .replace(/^\[(.*)\]$/, "$1")
    .replace(/\.$/, "")
    .toLowerCase();
