// Checks the settings in the environment against the settings of every service.
import { ConfigError, readConfig, type Settings } from "../../libs/runtime/config.ts";
import { agentHostSettings } from "../../services/agent-host/config.ts";
import { callsSettings } from "../../services/calls/config.ts";
import { controlSettings } from "../../services/control/config.ts";
import { dispatcherSettings } from "../../services/dispatcher/config.ts";
import { gatewaySettings } from "../../services/gateway/config.ts";
import { handoffsSettings } from "../../services/handoffs/config.ts";
import { janitorSettings } from "../../services/janitor/config.ts";
import { privacySettings } from "../../services/privacy/config.ts";
import { providersSettings } from "../../services/providers/config.ts";
import { tasksSettings } from "../../services/tasks/config.ts";
import { webhooksSettings } from "../../services/webhooks/config.ts";
import { localSettings } from "../supervisor/config.ts";
import { check, failure, ok } from "./check.ts";
import { doctorSettings } from "./config.ts";
import type { Sources } from "./sources.ts";

const everySettings: readonly Settings[] = [
  doctorSettings,
  localSettings,
  gatewaySettings,
  controlSettings,
  dispatcherSettings,
  agentHostSettings,
  janitorSettings,
  providersSettings,
  handoffsSettings,
  tasksSettings,
  callsSettings,
  webhooksSettings,
  privacySettings,
];

export const settingsCheck = check({
  name: "settings",
  title: "settings",
  timeoutMs: 10_000,
  todo: "See docs/reference/settings.md.",
  observe: async ({ env }: Sources) => ({
    faults: settingFaults(env),
    given: Object.keys(env).filter((name) => /^(GREENROOM_|LIVEKIT_|NATS_URL$)/.test(name)).length,
  }),
  judge: ({ faults, given }: { faults: readonly string[]; given: number }) =>
    faults.length === 0
      ? [ok(`${given === 0 ? "None is set, so defaults apply" : `${given} are set and valid`}.`)]
      : faults.map((fault) => failure(`${fault.replace(/\.?$/, ".")}`, "See docs/reference/settings.md.")),
});

/** All faults, without duplicates from settings that several services read. */
export function settingFaults(env: Readonly<Record<string, string | undefined>>): string[] {
  const faults = new Set<string>();
  for (const settings of everySettings) {
    try {
      readConfig(settings, env);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      for (const line of error.message.split("\n").slice(1)) faults.add(line.trim());
    }
  }
  return [...faults];
}
