// The settings of claims and of remote agent runners, some under the names of earlier systems.
import type { ProviderRules } from "../../libs/contracts/providers/provider-rules.ts";
import { ConfigError, type ConfigOf, setting } from "../../libs/runtime/config.ts";
import { launcherSettings } from "../../libs/runtime/launcher-settings.ts";
import { launchUrlOf } from "./drivers/runner-request.ts";

export const runnerSettings = {
  ...launcherSettings,
  AGENT_LAUNCHER_SECRET: setting.secret(
    "Secret that signs launch requests as Standard Webhooks: whsec_ and at least 24 bytes as base64. During a rotation, two secrets separated by a comma.",
  ),
  CONTROL_PLANE_BASE_URL: setting.optionalText(
    "Address at which agent runners reach the gateway. If set, launch requests contain the full URL of the claim.",
  ),
  CLAIMER_ENABLED: setting.flag(
    "Not supported: `true` fails the start. Agent runners claim sessions themselves, at the gateway.",
  ),
  GREENROOM_CLAIM_TIMEOUT_MS: setting.integer(
    "Maximum time in ms in which a claim ticket must be claimed. The session's own deadlines can be shorter.",
    60_000,
    100,
  ),
  GREENROOM_CLAIM_REPLAY_WINDOW_MS: setting.integer(
    "Time in ms in which a repeated claim gets the same answer, in case the first answer was lost.",
    30_000,
    0,
    600_000,
  ),
  GREENROOM_CLAIM_RETENTION_MS: setting.integer(
    "Time in ms for which a claim ticket is kept after its attempt has ended, so that a late claim gets the reason.",
    600_000,
    1000,
  ),
};
export type RunnerConfig = ConfigOf<typeof runnerSettings>;

export interface RunnerSetup {
  /** The full launch address of the common agent runner, where one is configured. */
  readonly launcherUrl: string | undefined;
  readonly secrets: readonly string[];
  readonly claimUrlOf: (claimId: string) => string | undefined;
}

const SECRET_BYTES_MIN = 24;

/**
 * @param rules name the profiles that have their own runner
 * @throws ConfigError for settings that contradict each other, or that are not supported
 */
export function setUpRunner(config: RunnerConfig, rules: ProviderRules): RunnerSetup {
  const faults: string[] = [];
  const hasRunner =
    config.AGENT_LAUNCHER_URL !== undefined || rules.some(({ provider }) => provider === "webhook");
  for (const { profile, provider, name } of rules)
    if (provider === "webhook" && config.AGENT_LAUNCHER_URL === undefined && !isHttp(name))
      faults.push(
        `GREENROOM_PROVIDERS: "${profile}" has no agent runner. Set AGENT_LAUNCHER_URL, or write ${profile}=webhook:<its address>.`,
      );
  if (config.CLAIMER_ENABLED)
    faults.push(
      "CLAIMER_ENABLED: not supported. Agent runners claim sessions themselves, at POST /api/claims/:id/claim of the gateway. Set it to false.",
    );
  if (hasRunner && config.AGENT_LAUNCHER_SECRET === undefined)
    faults.push(
      "AGENT_LAUNCHER_SECRET: missing; it signs the launch requests. Create one: echo whsec_$(openssl rand -base64 32)",
    );
  for (const name of ["AGENT_LAUNCHER_URL", "CONTROL_PLANE_BASE_URL"] as const)
    if (config[name] !== undefined && !isHttp(config[name]))
      faults.push(`${name}: not an http:// or https:// address.`);
  const secrets = (config.AGENT_LAUNCHER_SECRET ?? "").split(",").map((secret) => secret.trim());
  const given = secrets.filter((secret) => secret !== "");
  if (!given.every(isSigningSecret))
    faults.push(
      `AGENT_LAUNCHER_SECRET: must be whsec_ and at least ${SECRET_BYTES_MIN} bytes as base64. Create one: echo whsec_$(openssl rand -base64 32)`,
    );
  if (faults.length > 0) throw new ConfigError(faults);
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
