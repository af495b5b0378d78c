// The settings of handoffs, claims and agent runners elsewhere, under the names that earlier systems gave them.
import type { ProviderRules } from "../../libs/contracts/providers/provider-rules.ts";
import { ConfigError, type ConfigOf, setting } from "../../libs/runtime/config.ts";
import type { Log } from "../../libs/runtime/log.ts";
import { launchUrlOf } from "./drivers/runner-request.ts";

export const runnerSettings = {
  INGESTION_ENABLED: setting.flag("Takes handoffs from `runtime.handoff_requested` in.", true),
  INGESTION_BATCH_SIZE: setting.integer("How many handoffs a connector has in hand at once.", 25, 1, 1000),
  INGESTION_POLL_INTERVAL_MS: setting.optionalText(
    "Ignored, and logged so: handoffs come as soon as they are stored, and nothing is polled.",
  ),
  LAUNCHER_ENABLED: setting.flag(
    "Asks the agent runner at AGENT_LAUNCHER_URL for the agents of all handoffs. Without it a handoff gets its agent from its profile's own provider.",
  ),
  AGENT_LAUNCHER_URL: setting.optionalText(
    "Where the agent runner is asked for agents, as http://runner:4100; `/runtime/agent-sessions/launch` is added where it is missing.",
  ),
  AGENT_LAUNCHER_SECRET: setting.secret(
    "What launches are signed with by Standard Webhooks: whsec_ and 24 bytes or more as base64. Two, separated by a comma, while one takes the place of the other.",
  ),
  CONTROL_PLANE_BASE_URL: setting.optionalText(
    "Where agent runners reach the gateway's API: launches then name the whole address of the claim.",
  ),
  CLAIMER_ENABLED: setting.flag(
    "Has no part here, and `true` is refused: agent runners claim for themselves, at the gateway.",
  ),
  GREENROOM_CLAIM_TIMEOUT_MS: setting.integer(
    "How long a dispatch may stand unclaimed. The session's own deadlines may be over before.",
    60_000,
    100,
  ),
  GREENROOM_CLAIM_REPLAY_WINDOW_MS: setting.integer(
    "How long the same claim is answered again, in case its answer was lost.",
    30_000,
    0,
    600_000,
  ),
  GREENROOM_CLAIM_RETENTION_MS: setting.integer(
    "How long a dispatch is kept once its attempt is over, so that a late claim is told why.",
    600_000,
    1000,
  ),
};
export type RunnerConfig = ConfigOf<typeof runnerSettings>;

export interface RunnerSetup {
  /** The whole address of the agent runner, where one is set. */
  readonly launcherUrl: string | undefined;
  readonly secrets: readonly string[];
  readonly claimUrlOf: (claimId: string) => string | undefined;
}

const SECRET_BYTES_MIN = 24;

/**
 * @param rules of which profiles have a runner of their own, by its address
 * @throws ConfigError for settings that don't fit together, or that something is expected of which isn't done
 */
export function setUpRunner(config: RunnerConfig, rules: ProviderRules, log: Pick<Log, "info">): RunnerSetup {
  const faults: string[] = [];
  const hasRunner =
    config.AGENT_LAUNCHER_URL !== undefined || rules.some(({ provider }) => provider === "webhook");
  for (const { profile, provider, name } of rules)
    if (provider === "webhook" && config.AGENT_LAUNCHER_URL === undefined && !isHttp(name))
      faults.push(
        `GREENROOM_PROVIDERS: "${profile}" has no agent runner; set AGENT_LAUNCHER_URL, or write ${profile}=webhook:<its address>.`,
      );
  if (config.CLAIMER_ENABLED)
    faults.push(
      "CLAIMER_ENABLED: a connector claims nothing. Agent runners do, at POST /api/claims/:id/claim of the gateway; set it to false.",
    );
  if (config.LAUNCHER_ENABLED && config.AGENT_LAUNCHER_URL === undefined)
    faults.push("LAUNCHER_ENABLED: there is no agent runner to ask; set AGENT_LAUNCHER_URL too.");
  if (hasRunner && config.AGENT_LAUNCHER_SECRET === undefined)
    faults.push(
      "AGENT_LAUNCHER_SECRET: launches are signed, and there is nothing to sign them with. Make one with: echo whsec_$(openssl rand -base64 32)",
    );
  for (const name of ["AGENT_LAUNCHER_URL", "CONTROL_PLANE_BASE_URL"] as const)
    if (config[name] !== undefined && !isHttp(config[name]))
      faults.push(`${name}: it is no http:// or https:// address.`);
  const secrets = (config.AGENT_LAUNCHER_SECRET ?? "").split(",").map((secret) => secret.trim());
  const given = secrets.filter((secret) => secret !== "");
  if (!given.every(isSigningSecret))
    faults.push(
      `AGENT_LAUNCHER_SECRET: a secret is whsec_ and the base64 of ${SECRET_BYTES_MIN} bytes or more. Make one with: echo whsec_$(openssl rand -base64 32)`,
    );
  if (faults.length > 0) throw new ConfigError(faults);
  if (config.INGESTION_POLL_INTERVAL_MS !== undefined)
    log.info("INGESTION_POLL_INTERVAL_MS is ignored: handoffs come as soon as they are stored");
  const { AGENT_LAUNCHER_URL: launcher, CONTROL_PLANE_BASE_URL: base } = config;
  return {
    launcherUrl: launcher === undefined ? undefined : launchUrlOf(launcher),
    secrets: given,
    claimUrlOf: (id) =>
      base === undefined ? undefined : `${base.replace(/\/+$/, "")}/api/claims/${id}/claim`,
  };
}

const isHttp = (url: string): boolean => URL.canParse(url) && /^https?:$/.test(new URL(url).protocol);

function isSigningSecret(secret: string): boolean {
  const [, base64] = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(secret) ?? [];
  return base64 !== undefined && Buffer.from(base64, "base64").length >= SECRET_BYTES_MIN;
}
