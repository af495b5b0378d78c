// The OpenAPI 3.1 document at /openapi.json, made from the routes' own schemas.
import swagger from "@fastify/swagger";
import { jsonSchemaTransform, jsonSchemaTransformObject } from "fastify-type-provider-zod";
import { namedSchemas } from "./openapi-schemas.ts";
import type { Routes } from "./routes.ts";

const DESCRIPTION = `Starts conversations with voice agents: a session gets a live, warm agent in a LiveKit room.

Every error has one shape, with a \`code\` to decide by and a \`message\` to read. Bodies are JSON; fields that a
route doesn't know are refused. A WebSocket at \`/api/session/ws\` takes
\`{"type":"start",…}\`, \`{"type":"follow","sessionId"}\`, \`{"type":"end","sessionId"}\` and \`{"type":"ping"}\`, and
answers \`{"type":"session",…}\`, \`{"type":"error","error":{…}}\` and \`{"type":"pong"}\`; \`requestId\` comes back.`;

export function describeApi(app: Routes): void {
  app.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: { title: "Greenroom", description: DESCRIPTION, version: "0.1.0" },
      tags: [
        { name: "sessions", description: "Conversations: start, watch, end." },
        { name: "tasks", description: "Outbound calls: ask for them, watch, cancel, retry." },
        { name: "tokens", description: "Ways into a room." },
        { name: "fleet", description: "Health, pools and hosts." },
        { name: "claims", description: "What agent runners elsewhere claim, and what they say of it." },
        { name: "calls", description: "What became of sessions that are over, and figures of days." },
        { name: "webhooks", description: "Events told to addresses of yours." },
        { name: "privacy", description: "Removing what is kept of people, and the proof of it." },
        { name: "livekit", description: "What LiveKit itself calls." },
      ],
    },
    transform: jsonSchemaTransform,
    transformObject: (input) => namedSchemas(jsonSchemaTransformObject(input)),
  });
}

/** Registered after the routes it describes. */
export function openApiRoute(app: Routes): void {
  app.get("/openapi.json", { schema: { hide: true } }, async () => app.swagger());
}
