// What a person reads when everything runs: where it is, which profiles there are, what to try.
import { HealthAnswer } from "../../libs/contracts/fleet/http.ts";

/** What of health is told; absent when the gateway didn't answer in time. */
export type Health = Pick<HealthAnswer, "services" | "profiles" | "sessions">;

export interface BannerFacts {
  readonly apiUrl: string;
  /** Of the other gateways, when there are several. */
  readonly moreApiUrls?: readonly string[];
  readonly natsUrl: string;
  readonly livekitUrl: string | undefined;
  readonly isSimulated: boolean;
  readonly dataDir: string;
  readonly health: Health | undefined;
}

export const curlOf = (apiUrl: string): string => `curl -X POST ${apiUrl}/api/session/start`;

/** Ends with a command to paste and the page to open. */
export function bannerText(facts: BannerFacts): string {
  const { apiUrl, health } = facts;
  const livekit = facts.isSimulated ? "simulated rooms (LIVEKIT_MOCK_MODE)" : facts.livekitUrl;
  const lines = [
    health === undefined ? "Greenroom is up, but not ready yet; the log says why." : "Greenroom is ready.",
    "",
    `  gateway   ${apiUrl}   (API: ${apiUrl}/docs)`,
    ...(facts.moreApiUrls ?? []).map((url) => `            ${url}`),
    `  NATS      ${facts.natsUrl.split(",").join("\n            ")}`,
    `  LiveKit   ${livekit ?? "none: no agent can join a room; the log says what to do"}`,
    `  data      ${facts.dataDir}`,
    "",
    ...profileLines(health),
    "  Start a session:",
    `    ${curlOf(apiUrl)}`,
    "  Talk with an agent: open the page",
    `    ${apiUrl}/`,
  ];
  return lines.join("\n");
}

function profileLines(health: Health | undefined): string[] {
  const profiles = Object.entries(health?.profiles ?? {});
  if (profiles.length === 0) return [];
  const width = Math.max(...profiles.map(([name]) => name.length));
  const lines = profiles.map(([name, profile]) => {
    const idle = profile.warm + profile.hot;
    const agents = `${idle} warm agent${idle === 1 ? "" : "s"}${profile.hot > 0 ? ` (${profile.hot} hot)` : ""}`;
    const description = profile.status === "running" ? agents : (profile.error ?? "");
    return `    ${name.padEnd(width)}  ${profile.status}${description === "" ? "" : `: ${description}`}`;
  });
  return ["  Profiles:", ...lines, ""];
}

const LOOK_EVERY_MS = 500;

/** How long the other profiles are waited for, once there is a warm agent. */
const SETTLE_MS = 5000;

/**
 * Waits until the gateway is ready and the first agent is warm, and a little for what the other profiles say.
 *
 * @returns the health at that time, or after `timeoutMs` whatever there is then
 */
export async function waitForFirstAgent(
  apiUrl: string,
  timeoutMs: number,
  isCancelled: () => boolean,
): Promise<Health | undefined> {
  let deadline = performance.now() + timeoutMs;
  let isWarm = false;
  let health: Health | undefined;
  while (!isCancelled() && performance.now() < deadline) {
    if ((await getJson(`${apiUrl}/readyz`)) !== undefined) {
      const parsed = HealthAnswer.safeParse(await getJson(`${apiUrl}/api/health`));
      if (parsed.success) health = parsed.data;
      if (health !== undefined && health.sessions.pool > 0) {
        if (Object.values(health.profiles).every((profile) => profile.status !== "stopped")) return health;
        if (!isWarm) deadline = Math.min(deadline, performance.now() + SETTLE_MS);
        isWarm = true;
      }
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
  return health;
}

/** Undefined unless it is answered with success. */
async function getJson(url: string): Promise<unknown> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(2000) });
    const text = await response.text();
    if (!response.ok) return undefined;
    return text.startsWith("{") ? JSON.parse(text) : {};
  } catch {
    return undefined;
  }
}
