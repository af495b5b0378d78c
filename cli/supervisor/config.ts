// The settings of `npm start`. Services read all other settings from the environment.
import { commonSettings } from "../../libs/runtime/common-settings.ts";
import { ConfigError, type ConfigOf, readConfig, setting } from "../../libs/runtime/config.ts";

export const localSettings = {
  ...commonSettings,
  NATS_URL: setting.optionalText("Address of a NATS server to use. By default, `npm start` starts one."),
  LIVEKIT_URL: setting.optionalText(
    "Address of a LiveKit server to use, together with its key and secret. By default, `npm start` starts one.",
  ),
  GREENROOM_PORT: setting.integer("Port of the gateway; 0 selects any free port.", 8080, 0, 65_535),
  GREENROOM_BIND: setting.text("Address on which the gateway listens.", "127.0.0.1"),
  GREENROOM_NATS_PORT: setting.optionalPort(
    "Port of the local NATS; 0 selects any free port. Default: 4222, or any free port if that is in use.",
  ),
  GREENROOM_LIVEKIT_PORT: setting.optionalPort(
    "Port of the local LiveKit; 0 selects any free port. Default: 7880, or any free port if that is in use.",
  ),
  GREENROOM_DATA_DIR: setting.text(
    "Folder for the data of NATS and the lock of the supervisor.",
    ".greenroom",
  ),
  GREENROOM_DRAIN_TIMEOUT_MS: setting.integer(
    "Maximum time in ms for which running sessions may continue after a stop signal.",
    5000,
  ),
  GREENROOM_NATS_SYNC: setting.text(
    "Maximum time between the acknowledgement of a message and its write to the disk: 1s or 100ms, for example. The value `always` writes before each acknowledgement.",
    "1s",
  ),
  GREENROOM_NATS_SERVER: setting.optionalText(
    "Path of the nats-server program. By default, Greenroom finds or installs one.",
  ),
  GREENROOM_LIVEKIT_SERVER: setting.optionalText(
    "Path of the livekit-server program. By default, Greenroom finds or installs one.",
  ),
  GREENROOM_NO_DOWNLOAD: setting.flag("Disables downloads of missing servers. `go install` is still tried."),
  GREENROOM_RELEASES_URL: setting.text(
    "Base address for downloads of server releases: GitHub, or a mirror with the same paths.",
    "https://github.com",
  ),
};
export type LocalConfig = ConfigOf<typeof localSettings>;

/** @throws ConfigError */
export function readLocalConfig(env: Readonly<Record<string, string | undefined>>): LocalConfig {
  const config = readConfig(localSettings, env);
  const faults = [...livekitFaults(config), ...syncFaults(config)];
  if (faults.length > 0) throw new ConfigError(faults);
  return config;
}

/** Whether a LiveKit is configured. readLocalConfig has checked that its settings are complete. */
export const isLiveKitGiven = (config: LocalConfig): boolean => config.LIVEKIT_URL !== undefined;

function livekitFaults(config: LocalConfig): string[] {
  if (config.LIVEKIT_MOCK_MODE) return [];
  const names = ["LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET"] as const;
  const missing = names.filter((name) => config[name] === undefined);
  if (missing.length === 0 || missing.length === names.length) return [];
  const present = names.filter((name) => !missing.includes(name));
  return [
    `${present.join(" and ")} ${present.length === 1 ? "is" : "are"} set, but not ${missing.join(" and ")}. ` +
      "Set all three to use that LiveKit, or none of them to start a local one.",
  ];
}

function syncFaults({ GREENROOM_NATS_SYNC: sync }: LocalConfig): string[] {
  if (sync === "always" || /^[1-9]\d*(ms|s|m)$/.test(sync)) return [];
  return [`GREENROOM_NATS_SYNC is ${sync}. It must be always or a duration, for example 100ms, 1s or 2m`];
}
