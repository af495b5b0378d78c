// The settings of `npm start`. What isn't here is a service's, and reaches it through the environment.
import { allSettingNames, commonSettings } from "../../libs/runtime/common-settings.ts";
import { ConfigError, type ConfigOf, readConfig, setting } from "../../libs/runtime/config.ts";

export const localSettings = {
  ...commonSettings,
  NATS_URL: setting.optionalText("A NATS to use. Without it one is started."),
  LIVEKIT_URL: setting.optionalText("A LiveKit to use, with its key and secret. Without it one is started."),
  GREENROOM_PORT: setting.integer("The port of the gateway; 0 takes any free one.", 8080, 0, 65_535),
  GREENROOM_BIND: setting.text("The address that the gateway listens on.", "127.0.0.1"),
  GREENROOM_DATA_DIR: setting.text("Where NATS keeps its data, and the supervisor its lock.", ".greenroom"),
  GREENROOM_DRAIN_TIMEOUT_MS: setting.integer(
    "How long running sessions may go on once it is told to stop.",
    5000,
  ),
  GREENROOM_NATS_SYNC: setting.text(
    "How long acknowledged messages may wait for the disk, as 1s or 100ms; always waits for it each time.",
    "1s",
  ),
  GREENROOM_NATS_SERVER: setting.optionalText(
    "The nats-server program to run, instead of one that is found.",
  ),
  GREENROOM_LIVEKIT_SERVER: setting.optionalText(
    "The livekit-server program to run, instead of one that is found.",
  ),
  GREENROOM_NO_DOWNLOAD: setting.flag("Never downloads a missing server; `go install` is still tried."),
  GREENROOM_RELEASES_URL: setting.text(
    "Where the servers' releases are downloaded from: GitHub, or a mirror of the same layout.",
    "https://github.com",
  ),
};
export type LocalConfig = ConfigOf<typeof localSettings>;

/** @throws ConfigError */
export function readLocalConfig(env: Readonly<Record<string, string | undefined>>): LocalConfig {
  const config = readConfig(localSettings, env, allSettingNames);
  const faults = [...livekitFaults(config), ...syncFaults(config)];
  if (faults.length > 0) throw new ConfigError(faults);
  return config;
}

/** Whether a LiveKit was given; readLocalConfig saw to it that it is whole then. */
export const isLiveKitGiven = (config: LocalConfig): boolean => config.LIVEKIT_URL !== undefined;

function livekitFaults(config: LocalConfig): string[] {
  if (config.LIVEKIT_MOCK_MODE) return [];
  const names = ["LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET"] as const;
  const missing = names.filter((name) => config[name] === undefined);
  if (missing.length === 0 || missing.length === names.length) return [];
  const given = names.filter((name) => !missing.includes(name));
  return [
    `${given.join(" and ")} ${given.length === 1 ? "is" : "are"} given, but not ${missing.join(" and ")}. ` +
      "Give all three to use that LiveKit, or none of them to have one started.",
  ];
}

function syncFaults({ GREENROOM_NATS_SYNC: sync }: LocalConfig): string[] {
  if (sync === "always" || /^[1-9]\d*(ms|s|m)$/.test(sync)) return [];
  return [`GREENROOM_NATS_SYNC is ${sync}; it must be always, or a duration as 100ms, 1s or 2m`];
}
