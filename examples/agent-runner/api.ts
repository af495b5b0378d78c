// Greenroom's API for runners: claims a session, and reports the state of its agent.
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { SignJWT } from "jose";
import type { Launch } from "./launches.ts";
import type { Settings } from "./settings.ts";

interface Claimed {
  readonly sessionId: string;
  readonly attempt: number;
  readonly profile: string;
  readonly url: string;
  readonly token: string;
  readonly room: string;
  readonly identity: string;
  readonly user: { readonly id: string; readonly name: string };
  readonly metadata: Record<string, unknown>;
  readonly recovering: boolean;
}

export interface EndReport {
  readonly reason?: string;
  readonly error?: string;
  readonly retryable?: boolean;
  readonly userLeft?: boolean;
}

export interface Api {
  /** @throws Refused when another runner has claimed it, when it has expired, or when the session moved on */
  claim(launch: Launch): Promise<Claimed>;
  /** @throws Refused when the session moved on without this agent, which must then leave */
  report(launch: Launch, type: "joined" | "ready", tookMs: number): Promise<void>;
  ended(launch: Launch, report: EndReport): Promise<void>;
}

/** A refusal that a retry does not change. */
export class Refused extends Error {}

const TRIES = 6;
const FIRST_PAUSE_MS = 200;
const ANSWER_MS = 5000;

export function createApi(settings: Settings): Api {
  const key = new TextEncoder().encode(settings.jwtSecret);
  /** A short-lived token for each request, so that a stolen one is worth little. */
  const tokenFor = (tenant: string): Promise<string> =>
    new SignJWT({ tenant })
      .setProtectedHeader({ alg: "HS256" })
      .setSubject(settings.name)
      .setAudience("greenroom")
      .setExpirationTime("60s")
      .sign(key);

  /** All requests are idempotent: a claim through its nonce, a report through its contents. */
  const post = async (launch: Launch, what: string, body: object): Promise<unknown> => {
    const url = `${settings.apiUrl}/api/claims/${launch.dispatch_id}/${what}`;
    for (let tries = 1; ; tries++) {
      const answer = await ask(url, await tokenFor(launch.tenant_id), body);
      if (answer.ok) return answer.body;
      if (answer.permanent || tries === TRIES) throw new Refused(answer.reason);
      await sleep(FIRST_PAUSE_MS * 2 ** (tries - 1));
    }
  };

  return {
    async claim(launch) {
      const nonce = randomBytes(24).toString("base64url");
      return (await post(launch, "claim", { nonce })) as Claimed;
    },
    async report(launch, type, tookMs) {
      await post(launch, type, { tookMs });
    },
    async ended(launch, report) {
      await post(launch, "ended", report);
    },
  };
}

type Answer =
  | { readonly ok: true; readonly body: unknown }
  | { readonly ok: false; readonly permanent: boolean; readonly reason: string };

async function ask(url: string, token: string, body: object): Promise<Answer> {
  try {
    const response = await fetch(url, {
      method: "POST",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    const answer = (await response.json()) as { error?: { code: string; message: string } };
    if (response.ok) return { ok: true, body: answer };
    const permanent = response.status < 500 && response.status !== 429;
    return { ok: false, permanent, reason: answer.error?.message ?? `${url} answered ${response.status}` };
  } catch (error) {
    return { ok: false, permanent: false, reason: `${url} can't be reached: ${error}` };
  }
}
