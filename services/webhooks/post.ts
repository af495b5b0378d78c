// One POST to an address that a customer gave: only to where it may go, without redirects, and never for long.
import { type LookupAddress, lookup as resolveBySystem } from "node:dns";
import http from "node:http";
import https from "node:https";
import { isIP, type LookupFunction, type Socket } from "node:net";
import { messageOf } from "../../libs/contracts/errors.ts";
import { type AllowedTargets, hostOf, isCallable, refusalOf } from "../../libs/runtime/url-guard.ts";

/** What came of a POST. `why` is in words for the person who registered the address. */
export type Posted =
  | { readonly status: number; readonly retryAfterMs?: number }
  | { readonly status: undefined; readonly reason: string };

export interface PostOptions {
  readonly allowed: AllowedTargets;
  /** For the whole of it: the name, the connection, the request and the answer. */
  readonly timeoutMs: number;
  /** Finds the addresses of a name; the system's own unless a test gives another. */
  readonly resolve?: Resolve;
}

export type Resolve = (
  host: string,
  done: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void;

const resolveAll: Resolve = (host, done) => resolveBySystem(host, { all: true }, done);

/** More than any answer that says that it has it. What it says isn't used. */
const ANSWER_BYTES_MAX = 64 * 1024;

/** Posts a body. It never throws: what goes wrong is an outcome. */
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
        reason: late.aborted ? `no answer came within ${options.timeoutMs} ms` : wordsFor(error),
      });
    const request = (url.protocol === "https:" ? https : http).request(url, {
      method: "POST",
      headers: { ...headers, "content-length": String(Buffer.byteLength(body)) },
      // A connection of its own, so that each is looked at.
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
      // The status is the answer; how its body goes on is of no matter.
      response.on("error", () => {});
      resolve({ status, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) });
    });
    request.end(body);
  });
}

/**
 * The name is looked up once, and the connection goes to the very addresses that were looked at here: a name that
 * answers with another address the next time (DNS rebinding) gains nothing by it.
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

/** Node asks for no look-up when the host is an address; and whatever happens, this is where it really went. */
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
  new RefusedTarget(`${host} ${isIP(host) === 0 ? "leads to" : "is"} no public address`);

const refused = (reason: string): Posted => ({
  status: undefined,
  reason: `the address is refused: ${reason}`,
});

function wordsFor(error: unknown): string {
  if (error instanceof RefusedTarget) return `the address is refused: ${error.message}`;
  const { code } = error as NodeJS.ErrnoException;
  return code === undefined ? messageOf(error).slice(0, 200) : `${code}: ${messageOf(error).slice(0, 200)}`;
}

/** Seconds, or a date, which is compared with this machine's clock, as HTTP has it. */
function retryAfterOf(header: string | undefined): number | undefined {
  if (header === undefined) return undefined;
  if (/^\d{1,9}$/.test(header.trim())) return Number(header) * 1000;
  const at = Date.parse(header);
  return Number.isNaN(at) ? undefined : Math.max(0, at - Date.now());
}
