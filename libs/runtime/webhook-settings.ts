// The allowed webhook targets, a setting of two services: gateways reject early, the webhooks service at each delivery.
import { z } from "zod";
import type { Setting } from "./config.ts";
import { readAllowedTargets } from "./url-guard.ts";

const allow: Setting<string | undefined> = {
  schema: z
    .string()
    .optional()
    .superRefine((text, context) => {
      try {
        readAllowedTargets(text);
      } catch (error) {
        context.addIssue({ code: "custom", message: error instanceof Error ? error.message : String(error) });
      }
    }),
  description:
    "Private host names, addresses and networks that webhooks may call, separated by commas, for example hooks.internal, 10.2.0.0/16.",
  default: undefined,
};

export const webhookSettings = { GREENROOM_WEBHOOK_ALLOW: allow };
