// The settings of the handoffs service, some under the names that earlier systems gave them.
import { PROVIDERS_DESCRIPTION, parseProviderRules } from "../../libs/contracts/providers/provider-rules.ts";
import { commonSettings } from "../../libs/runtime/common-settings.ts";
import { ConfigError, type ConfigOf, setting } from "../../libs/runtime/config.ts";
import { launcherSettings } from "../../libs/runtime/launcher-settings.ts";
import type { Log } from "../../libs/runtime/log.ts";
import { roomProviderOf } from "./handoffs.ts";

export const handoffsSettings = {
  ...commonSettings,
  ...launcherSettings,
  GREENROOM_PROVIDERS: setting.parsed(PROVIDERS_DESCRIPTION, parseProviderRules),
  INGESTION_ENABLED: setting.flag("Accepts handoffs from `runtime.handoff_requested`.", true),
  INGESTION_BATCH_SIZE: setting.integer(
    "Maximum number of handoffs that one instance handles at the same time.",
    25,
    1,
    1000,
  ),
  INGESTION_POLL_INTERVAL_MS: setting.optionalText(
    "Ignored, with a log line. Handoffs are delivered as soon as they are stored, without polling.",
  ),
  LAUNCHER_ENABLED: setting.flag(
    "Requests the agents of all handoffs from the agent runner at AGENT_LAUNCHER_URL. If false, a handoff gets its agent from the provider of its profile.",
  ),
};
export type HandoffsConfig = ConfigOf<typeof handoffsSettings>;

/** @throws ConfigError when all agents are to come from an agent runner and none is named */
export function handoffSettingsOf(config: HandoffsConfig, log: Pick<Log, "info">) {
  if (config.LAUNCHER_ENABLED && config.AGENT_LAUNCHER_URL === undefined)
    throw new ConfigError(["LAUNCHER_ENABLED: there is no agent runner to ask; set AGENT_LAUNCHER_URL too."]);
  if (config.INGESTION_POLL_INTERVAL_MS !== undefined)
    log.info("INGESTION_POLL_INTERVAL_MS is ignored: handoffs come as soon as they are stored");
  return {
    takesHandoffs: config.INGESTION_ENABLED,
    batchSize: config.INGESTION_BATCH_SIZE,
    launcher: config.LAUNCHER_ENABLED ? ("webhook" as const) : undefined,
    configuredFor: (profile: string) => roomProviderOf(config.GREENROOM_PROVIDERS, profile),
  };
}
