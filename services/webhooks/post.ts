// Sends one POST to a customer's address: only to allowed targets, without redirects, and with a time-out.
import { type LookupAddress, lookup as resolveBySystem } from "node:dns";
import http from "node:http";
import https from "node:https";
import { isIP, type LookupFunction, type Socket } from "node:net";
import { messageOf } from "../../libs/contracts/errors.ts";
import { type AllowedTargets, hostOf, isCallable, refusalOf } from "../../libs/runtime/url-guard.ts";

/** The result of a POST. `reason` is for the person who registered the address. */
export type Posted =
  | { readonly status: number; readonly retryAfterMs?: number }
  | { readonly status: undefined; readonly reason: string };

export interface PostOptions {
  readonly allowed: AllowedTargets;
  /** For everything: the DNS lookup, the connection, the request and the answer. */
  readonly timeoutMs: number;
  /** Resolves a name; a test replaces it. */
  readonly resolve?: Resolve;
}

export type Resolve = (
  host: string,
  done: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void;

const resolveAll: Resolve = (host, done) => resolveBySystem(host, { all: true }, done);

/** The longest answer that is read. Its content is not used. */
const ANSWER_BYTES_MAX = 64 * 1024;

/** Posts a body. Never throws: a failure is a result. */
export function post(
  address: string,
  body: string,
  headers: Readonly<Record<string, string>>,
  options: PostOptions,
): Promise<Posted> {
  const refusal = refusalOf(options.allowed, address);
  if (refusal !== undefined) return Promise.resolve(refused(refusal));
  const url = new URL(address);
  return new Promise((resolve) => {
    const late = AbortSignal.timeout(options.timeoutMs);
    const fail = (error: unknown) =>
      resolve({
        status: undefined,
        reason: late.aborted ? `no answer within ${options.timeoutMs} ms` : reasonOf(error),
      });
    const request = (url.protocol === "https:" ? https : http).request(url, {
      method: "POST",
      headers: { ...headers, "content-length": String(Buffer.byteLength(body)) },
      // No shared connection, so that every connection is checked.
      agent: false,
      lookup: guardedLookup(options),
      signal: late,
    });
    request.on("socket", (socket) => guardSocket(socket, url, options, request));
    request.on("error", fail);
    request.on("response", (response) => {
      const status = response.statusCode ?? 0;
      const retryAfterMs = retryAfterOf(response.headers["retry-after"]);
      let bytes = 0;
      response.on("data", (part: Buffer) => {
        bytes += part.length;
        if (bytes > ANSWER_BYTES_MAX) response.destroy();
      });
      // Only the status matters.
      response.on("error", () => {});
      resolve({ status, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) });
    });
    request.end(body);
  });
}

/**
 * Resolves the name once, and connects to the addresses that were checked. DNS rebinding, where a second lookup returns
 * another address, has therefore no effect.
 */
function guardedLookup({ allowed, resolve = resolveAll }: PostOptions): LookupFunction {
  return (host, options, done) => {
    resolve(host, (error, addresses) => {
      if (error !== null) return done(error, "", 0);
      const wanted = addresses.filter(({ family }) => !options.family || options.family === family);
      const usable = wanted.filter(({ address }) => isCallable(allowed, host, address));
      const [first] = usable;
      if (first === undefined) return done(notPublic(host), "", 0);
      if (options.all === true) done(null, usable);
      else done(null, first.address, first.family);
    });
  };
}

/** Checks the connected address too, since Node looks up no name when the host is an address. */
function guardSocket(socket: Socket, url: URL, { allowed }: PostOptions, request: http.ClientRequest): void {
  const look = () => {
    const { remoteAddress } = socket;
    if (remoteAddress !== undefined && !isCallable(allowed, hostOf(url), remoteAddress))
      request.destroy(notPublic(hostOf(url)));
  };
  socket.once("connect", look);
}

class RefusedTarget extends Error {}

const notPublic = (host: string): RefusedTarget =>
  new RefusedTarget(`${host} ${isIP(host) === 0 ? "does not resolve to" : "is not"} a public address`);

const refused = (reason: string): Posted => ({
  status: undefined,
  reason: `the address is refused: ${reason}`,
});

function reasonOf(error: unknown): string {
  if (error instanceof RefusedTarget) return `the address is refused: ${error.message}`;
  const { code } = error as NodeJS.ErrnoException;
  return code === undefined ? messageOf(error).slice(0, 200) : `${code}: ${messageOf(error).slice(0, 200)}`;
}

/** Seconds, or a date, which HTTP compares with the clock of the receiver. */
function retryAfterOf(header: string | undefined): number | undefined {
  if (header === undefined) return undefined;
  if (/^\d{1,9}$/.test(header.trim())) return Number(header) * 1000;
  const at = Date.parse(header);
  return Number.isNaN(at) ? undefined : Math.max(0, at - Date.now());
}
