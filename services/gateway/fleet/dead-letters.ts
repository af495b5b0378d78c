// GET /api/dead-letters: messages that nobody could handle, newest first, and why.

import type { Stored } from "../../../libs/bus/bus.ts";
import { DeadLettersAnswer, DeadLettersQuery } from "../../../libs/contracts/fleet/http.ts";
import type { DeadLetter } from "../../../libs/contracts/fleet/pool.ts";
import { ErrorAnswer } from "../../../libs/contracts/sessions/http.ts";
import { deadLetters } from "../../../libs/contracts/streams.ts";
import type { Gateway } from "../context.ts";
import { pageOfChannel } from "../http/pages.ts";
import type { Routes } from "../http/routes.ts";

/** Payloads are for people; the whole of it is in the stream. */
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
      return { success: true as const, deadLetters: found.map(shown), nextCursor };
    },
  );
}

/**
 * Which word of a subject is the tenant, by the word that it begins with. A letter on any other subject belongs to
 * no tenant: `nats stream view DEAD_LETTERS` shows it to who runs the servers.
 */
const tenantsPlace = new Map([
  ...["session", "log", "call", "task", "webhook", "delivery"].map((word) => [word, 1] as const),
  // What is in front of the tenant could be a tenant's name too, and must not be taken for one.
  ...["overflow", "tasks", "$KV"].map((word) => [word, 2] as const),
]);

/** By the subject it was sent on: what its body says of itself is what nobody could believe. */
function isOfTenant({ subject }: DeadLetter, tenant: string): boolean {
  const words = subject.split(".");
  const place = tenantsPlace.get(words[0] ?? "");
  if (place === undefined) return false;
  // The keys of some buckets are names alone, of hosts and profiles: they are no tenant's.
  if (words[0] === "$KV" && words.length < 4) return false;
  return words[place] === tenant;
}

const shown = ({ sequence, message: letter }: Stored<DeadLetter>) => ({
  id: sequence,
  at: letter.at,
  subject: letter.subject,
  reason: letter.reason,
  deliveries: letter.deliveries,
  payload: letter.payload.slice(0, SHOWN_PAYLOAD),
});
