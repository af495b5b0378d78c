// Decides which web pages may use the API from a browser.
import cors from "@fastify/cors";
import { GreenroomError } from "../../../libs/contracts/errors.ts";
import type { Log } from "../../../libs/runtime/log.ts";
import type { Routes } from "./routes.ts";

/** The methods of all routes. */
const METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE"];
/** Any page can make a browser send another origin, so the log of refused ones is limited. */
const LOGGED_MAX = 100;

/**
 * Allows requests of pages by their origin. The preflight of any other page gets an answer that explains the refusal,
 * which the browser shows, and the log names the setting.
 */
export function allowOrigins(app: Routes, setting: string | undefined, log: Log): void {
  const logged = new Set<string>();
  app.addHook("onRequest", async ({ headers, method }) => {
    const { origin, host } = headers;
    if (origin === undefined || isAllowedOrigin(origin, host, setting)) return;
    const message = `Pages of ${origin} may not use this API. Add the origin to GREENROOM_CORS_ORIGIN.`;
    if (!logged.has(origin) && logged.size < LOGGED_MAX) {
      logged.add(origin);
      log.warn({ origin }, message);
    }
    if (method === "OPTIONS" && headers["access-control-request-method"] !== undefined)
      throw new GreenroomError("forbidden", message);
  });
  app.register(cors, {
    delegator: ({ headers }, done) => {
      const { origin, host } = headers;
      done(null, {
        origin: origin !== undefined && isAllowedOrigin(origin, host, setting),
        methods: METHODS,
        exposedHeaders: ["Idempotent-Replayed", "Retry-After", "X-Request-Id", "Greenroom-Session-Id"],
      });
    },
  });
}

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
