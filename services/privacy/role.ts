// The privacy service as a role: what it starts from its settings, alone in a process or with other roles.
import { randomBytes } from "node:crypto";
import { createReceiptSigner } from "../../libs/auth/receipts.ts";
import { type Service, STOP_MS } from "../../libs/fleet/run-on-bus.ts";
import { privacySettings, privacySettingsOf } from "./config.ts";
import { startPrivacy } from "./privacy.ts";

export const privacyRole: Service<typeof privacySettings> = {
  name: "privacy",
  settings: privacySettings,
  stopMs: () => STOP_MS,
  async start({ config, log, clock, instance, connect }) {
    const signer = createReceiptSigner(config);
    return startPrivacy({
      bus: await connect(),
      clock,
      log,
      instance,
      nextWriteId: () => randomBytes(9).toString("base64url"),
      signer,
      settings: privacySettingsOf(config),
    });
  },
};
