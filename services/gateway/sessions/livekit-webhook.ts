// POST /api/livekit/webhook: verifies LiveKit's events, publishes them, and starts sessions for arrivals.
import { z } from "zod";
import { ErrorAnswer } from "../../../libs/contracts/sessions/http.ts";
import { roomEvents } from "../../../libs/contracts/streams.ts";
import { requireLiveKit } from "../../../libs/livekit/connect.ts";
import { createWebhooks } from "../../../libs/livekit/webhooks.ts";
import type { Gateway } from "../context.ts";
import type { Routes } from "../http/routes.ts";
import { handleArrival, handleRoomStarted } from "./arrivals.ts";
import { handleDeparture } from "./departures.ts";

/** An event may carry the metadata of the room and of a participant, 512 KiB each as JSON text in JSON, and attributes. */
const BODY_LIMIT_BYTES = 4 * 1024 * 1024;

export function livekitWebhookRoute(app: Routes, gateway: Gateway): void {
  app.register(async (scope: Routes) => {
    // The signature covers the exact bytes, so nothing may parse the body first.
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser(
      ["application/webhook+json", "application/json"],
      { parseAs: "string", bodyLimit: BODY_LIMIT_BYTES },
      (_request, body, done) => done(null, body),
    );
    scope.post(
      "/api/livekit/webhook",
      {
        bodyLimit: BODY_LIMIT_BYTES,
        schema: {
          summary: "Receive LiveKit's webhooks",
          tags: ["livekit"],
          consumes: ["application/webhook+json"],
          response: {
            200: z.object({ success: z.literal(true) }),
            "4xx": ErrorAnswer,
            "5xx": ErrorAnswer,
          },
        },
      },
      async ({ body, headers }) => {
        const webhooks = createWebhooks(requireLiveKit(gateway.livekit));
        const text = typeof body === "string" ? body : "";
        const received = await webhooks.receive(text, headers.authorization);
        if (received !== undefined) gateway.bus.core.publishTransient(roomEvents, received.event);
        if (received?.event.event === "room_started") await handleRoomStarted(gateway, received.event.room);
        if (received?.arrival !== undefined) await handleArrival(gateway, received.arrival);
        if (received?.leaver !== undefined)
          void handleDeparture(gateway, received.event.room, received.leaver).catch((error: unknown) =>
            gateway.log.warn({ error }, "failed to end the session of a user who has left"),
          );
        return { success: true as const };
      },
    );
  });
}
