// GET /api/dead-letters: messages that could not be processed, newest first, with the reason.
import type { Stored } from "../../../libs/bus/bus.ts";
import { DeadLettersAnswer, DeadLettersQuery } from "../../../libs/contracts/fleet/http.ts";
import type { DeadLetter } from "../../../libs/contracts/fleet/pool.ts";
import { ErrorAnswer } from "../../../libs/contracts/sessions/http.ts";
import { deadLetters } from "../../../libs/contracts/streams.ts";
import type { Gateway } from "../context.ts";
import { pageOfChannel } from "../http/pages.ts";
import type { Routes } from "../http/routes.ts";

/** Maximum length of a displayed payload. The stream has the whole payload. */
const SHOWN_PAYLOAD = 1000;

export function deadLettersRoute(app: Routes, gateway: Gateway): void {
  app.get(
    "/api/dead-letters",
    {
      schema: {
        summary: "List messages that could not be processed, newest first",
        description: "Each message with its subject, the reason, and the beginning of its payload.",
        tags: ["fleet"],
        querystring: DeadLettersQuery,
        response: { 200: DeadLettersAnswer, "4xx": ErrorAnswer, "5xx": ErrorAnswer },
      },
    },
    async ({ query }) => {
      const { found, nextCursor } = await pageOfChannel(gateway.bus, deadLetters, query, (letter) =>
        isOfTenant(letter, gateway.tenant),
      );
      return { success: true as const, deadLetters: found.map(toPublicDeadLetter), nextCursor };
    },
  );
}

/**
 * The position of the tenant in a subject, by the first word of the subject. A letter on any other subject belongs to
 * no tenant. Operators see it with `nats stream view DEAD_LETTERS`.
 */
const tenantPosition = new Map([
  ...["session", "log", "call", "task", "webhook", "delivery"].map((word) => [word, 1] as const),
  // The word before the tenant could also be the name of a tenant, but is none here.
  ...["overflow", "tasks", "$KV"].map((word) => [word, 2] as const),
]);

/** Reads the tenant from the subject, because the body of a dead letter can't be trusted. */
function isOfTenant({ subject }: DeadLetter, tenant: string): boolean {
  const words = subject.split(".");
  const position = tenantPosition.get(words[0] ?? "");
  if (position === undefined) return false;
  // The keys of some buckets are names of hosts or profiles, which belong to no tenant.
  if (words[0] === "$KV" && words.length < 4) return false;
  return words[position] === tenant;
}

const toPublicDeadLetter = ({ sequence, message: letter }: Stored<DeadLetter>) => ({
  id: sequence,
  at: letter.at,
  subject: letter.subject,
  reason: letter.reason,
  deliveries: letter.deliveries,
  payload: letter.payload.slice(0, SHOWN_PAYLOAD),
});
