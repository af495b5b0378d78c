// Accepts launches that Greenroom signed, each of them once.
import type { IncomingMessage } from "node:http";
import { Webhook } from "standardwebhooks";

/** The fields of a launch request that this runner needs. */
export interface Launch {
  readonly tenant_id: string;
  readonly agent_id: string;
  readonly session_id: string;
  readonly attempt: number;
  readonly room: string;
  readonly dispatch_id: string;
}

export interface Launches {
  take(request: IncomingMessage): Promise<{ status: number; words: string }>;
}

const BODY_MAX = 64 * 1024;
/** Number of remembered ids. A launch is repeated within seconds, so old ids are not needed. */
const REMEMBERED = 10_000;

export function createLaunches(secret: string, start: (launch: Launch) => void): Launches {
  const webhook = new Webhook(secret);
  const seen = new Set<string>();
  return {
    async take(request) {
      const body = await textOf(request);
      if (body === undefined) return { status: 413, words: "The launch request is too large." };
      let launch: Launch;
      try {
        launch = webhook.verify(body, request.headers as Record<string, string>) as Launch;
      } catch {
        return { status: 401, words: "Invalid signature or timestamp." };
      }
      // Greenroom repeats a request whose answer was lost. The agent was already started.
      const id = String(request.headers["webhook-id"]);
      if (!seen.has(id)) {
        seen.add(id);
        for (const oldest of seen) {
          if (seen.size <= REMEMBERED) break;
          seen.delete(oldest);
        }
        start(launch);
      }
      return { status: 202, words: "" };
    },
  };
}

async function textOf(request: IncomingMessage): Promise<string | undefined> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of request) {
    size += part.length;
    if (size > BODY_MAX) return undefined;
    parts.push(part);
  }
  return Buffer.concat(parts).toString("utf8");
}
