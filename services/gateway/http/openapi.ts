// Generates the OpenAPI 3.1 document at /openapi.json from the schemas of the routes.
import swagger from "@fastify/swagger";
import { jsonSchemaTransform, jsonSchemaTransformObject } from "fastify-type-provider-zod";
import { namedSchemas } from "./openapi-schemas.ts";
import type { Routes } from "./routes.ts";

const DESCRIPTION = `Starts conversations with voice agents: a session gets a live, warm agent in a LiveKit room.

All errors have the same shape, with a \`code\` for programs and a \`message\` for people. Bodies are JSON. Unknown
fields are refused. The WebSocket at \`/api/session/ws\` accepts
\`{"type":"start",…}\`, \`{"type":"follow","sessionId"}\`, \`{"type":"end","sessionId"}\` and \`{"type":"ping"}\`. It
answers \`{"type":"session",…}\`, \`{"type":"error","error":{…}}\` and \`{"type":"pong"}\`, with the request's \`requestId\`.`;

export function describeApi(app: Routes): void {
  app.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: { title: "Greenroom", description: DESCRIPTION, version: "0.1.0" },
      tags: [
        { name: "sessions", description: "Start, follow and end conversations." },
        { name: "tasks", description: "Create, follow, cancel and retry outbound calls." },
        { name: "tokens", description: "Room tokens." },
        { name: "fleet", description: "Health, pools and hosts." },
        { name: "claims", description: "Claims and reports of agent runners." },
        { name: "calls", description: "Call records and key figures." },
        { name: "webhooks", description: "Events for HTTP endpoints." },
        { name: "privacy", description: "Deletion of personal data, with receipts." },
        { name: "livekit", description: "Requests from LiveKit." },
      ],
    },
    transform: jsonSchemaTransform,
    transformObject: (input) => namedSchemas(jsonSchemaTransformObject(input)),
  });
}

/** Register this route after the routes that it describes. */
export function openApiRoute(app: Routes): void {
  app.get("/openapi.json", { schema: { hide: true } }, async () => app.swagger());
}
