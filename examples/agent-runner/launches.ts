// Takes launches: only those that Greenroom signed, and each of them once.
import type { IncomingMessage } from "node:http";
import { Webhook } from "standardwebhooks";

/** What a launch says, as far as this runner needs it. */
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
/** A launch is repeated within seconds; ids are forgotten when there are many. */
const REMEMBERED = 10_000;

export function createLaunches(secret: string, start: (launch: Launch) => void): Launches {
  const webhook = new Webhook(secret);
  const seen = new Set<string>();
  return {
    async take(request) {
      const body = await textOf(request);
      if (body === undefined) return { status: 413, words: "That is no launch: it is too large." };
      let launch: Launch;
      try {
        launch = webhook.verify(body, request.headers as Record<string, string>) as Launch;
      } catch {
        return { status: 401, words: "The signature is not Greenroom's, or it is too old." };
      }
      // A repeat, since our answer was lost: it has been started.
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
