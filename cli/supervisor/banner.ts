// The text after a successful start: addresses, profiles, and what to try.
import { HealthAnswer } from "../../libs/contracts/fleet/http.ts";

/** The part of health that is shown; absent if the gateway did not answer in time. */
export type Health = Pick<HealthAnswer, "services" | "profiles" | "sessions">;

export interface BannerFacts {
  readonly apiUrl: string;
  /** Addresses of the other gateways, if there are several. */
  readonly moreApiUrls?: readonly string[];
  readonly natsUrl: string;
  readonly livekitUrl: string | undefined;
  readonly isSimulated: boolean;
  readonly dataDir: string;
  readonly health: Health | undefined;
}

export const curlOf = (apiUrl: string): string => `curl -X POST ${apiUrl}/api/session/start`;

/** Ends with a command to paste and the address of the page. */
export function bannerText(facts: BannerFacts): string {
  const { apiUrl, health } = facts;
  const livekit = facts.isSimulated ? "simulated rooms (LIVEKIT_MOCK_MODE)" : facts.livekitUrl;
  const lines = [
    headline(health),
    "",
    `  gateway   ${apiUrl}   (API: ${apiUrl}/docs)`,
    ...(facts.moreApiUrls ?? []).map((url) => `            ${url}`),
    `  NATS      ${facts.natsUrl.split(",").join("\n            ")}`,
    `  LiveKit   ${livekit ?? "none, so no agent can join a room (see the log)"}`,
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

function headline(health: Health | undefined): string {
  if (health === undefined) return "Greenroom is running but not ready yet. See the log for the reason.";
  return health.sessions.pool > 0 ? "Greenroom is ready." : "Greenroom is running, but no agent is warm yet.";
}

function profileLines(health: Health | undefined): string[] {
  const profiles = Object.entries(health?.profiles ?? {});
  if (profiles.length === 0) return [];
  const width = Math.max(...profiles.map(([name]) => name.length));
  const lines = profiles.map(([name, profile]) => {
    const idle = profile.warm + profile.hot;
    const agents = `${idle} warm agent${idle === 1 ? "" : "s"}${profile.hot > 0 ? ` (${profile.hot} hot)` : ""}`;
    const description = profile.status === "running" ? agents : (profile.error ?? profile.reason ?? "");
    return `    ${name.padEnd(width)}  ${profile.status}${description === "" ? "" : `: ${description}`}`;
  });
  return ["  Profiles:", ...lines, ""];
}

const POLL_MS = 500;

/** How long to wait for the rest after the first agent is warm. */
const REST_MS = 15_000;

/**
 * Waits until the gateway is ready and an agent is warm, and shortly for LiveKit and the other profiles, which the
 * banner reports too.
 *
 * @returns the health at that time, or the latest known health after `timeoutMs`
 */
export async function waitUntilReady(
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
      if (health !== undefined && isSettled(health)) return health;
      if (health !== undefined && health.sessions.pool > 0) {
        if (!isWarm) deadline = Math.min(deadline, performance.now() + REST_MS);
        isWarm = true;
      }
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  return health;
}

/** Whether nothing that the banner reports is still starting. */
export function isSettled({ profiles, services, sessions }: Health): boolean {
  const all = Object.values(profiles);
  const isStarting = ({ status, warm, hot, warming }: (typeof all)[number]) =>
    status === "stopped" || status === "loading" || (status === "running" && warm + hot === 0 && warming > 0);
  if (services.livekit.status === "stopped" || all.some(isStarting)) return false;
  // An agent that waits for LiveKit is "failed" at first.
  return sessions.pool > 0 || (all.length > 0 && all.every(({ status }) => status === "disabled"));
}

/** Undefined unless the answer is a success. */
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
