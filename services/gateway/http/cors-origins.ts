// Decides which web pages may use the API from a browser.

/**
 * Pages of the gateway's own address, and programs without an origin (which are not browsers), are always allowed.
 * @param setting origins separated by commas, or `*`; undefined means pages of this machine
 */
export function isAllowedOrigin(
  origin: string | undefined,
  host: string | undefined,
  setting: string | undefined,
): boolean {
  if (origin === undefined) return true;
  const url = URL.canParse(origin) ? new URL(origin) : undefined;
  if (url !== undefined && url.host === host) return true;
  if (setting === undefined) return url !== undefined && isLoopback(url.hostname);
  const allowed = setting.split(",").map((entry) => entry.trim().replace(/\/$/, ""));
  return allowed.includes("*") || allowed.includes(origin);
}

const isLoopback = (hostname: string): boolean =>
  hostname === "localhost" || hostname === "127.0.0.1" || hostname === "[::1]";
