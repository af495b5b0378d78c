// The calls service as a role: what it starts from its settings, alone in a process or with other roles.
import { type Service, STOP_MS } from "../../libs/fleet/run-on-bus.ts";
import { startCalls } from "./calls.ts";
import { callSettingsOf, callsSettings } from "./config.ts";

export const callsRole: Service<typeof callsSettings> = {
  name: "calls",
  settings: callsSettings,
  stopMs: () => STOP_MS,
  start: async ({ config, log, clock, instance, connect }) =>
    startCalls({ bus: await connect(), clock, log, instance, settings: callSettingsOf(config) }),
};
