// Generates the OpenAPI 3.1 document at /openapi.json from the schemas of the routes.
import swagger from "@fastify/swagger";
import { jsonSchemaTransform, jsonSchemaTransformObject } from "fastify-type-provider-zod";
import type { Routes } from "./routes.ts";

const SCHEMAS = "#/components/schemas/";
/** The generator's place for parts of recursive schemas: here only "any JSON value". */
const SHARED = "__shared";
const ANY_JSON = `${SCHEMAS}${SHARED}#/$defs/schema0`;

type Json = Record<string, unknown>;

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

/**
 * The generator writes each named schema twice: for requests (`…Input`) and for answers. Hardly any schema is used for
 * both, so the unused half is dropped, and an `…Input` without a counterpart loses its suffix.
 */
function namedSchemas<T extends object>(document: T): T {
  const whole = structuredClone(document) as Json & { components?: { schemas?: Json } };
  const schemas = whole.components?.schemas ?? {};
  const shared = schemas[SHARED] as { $defs?: Json } | undefined;
  if (shared?.$defs?.schema0 !== undefined) schemas.AnyJson = shared.$defs.schema0;
  delete schemas[SHARED];

  const { components: _, ...rest } = whole;
  const used = reachable(rest, schemas);
  const nameOf = (name: string): string => {
    const short = name.replace(/Input$/, "");
    return used.has(short) ? name : short;
  };
  const kept = Object.fromEntries([...used].map((name) => [nameOf(name), schemas[name]]));
  return rewrite({ ...whole, components: { ...whole.components, schemas: kept } }, nameOf) as T;
}

const targetOf = (ref: string): string => (ref === ANY_JSON ? "AnyJson" : ref.slice(SCHEMAS.length));

/** The names of all schemas that are referenced directly or indirectly. */
function reachable(from: unknown, schemas: Json): Set<string> {
  const found = new Set<string>();
  const look = (value: unknown): void => {
    if (typeof value !== "object" || value === null) return;
    for (const [key, child] of Object.entries(value)) {
      if (key !== "$ref" || typeof child !== "string") look(child);
      else if (child.startsWith(SCHEMAS) && !found.has(targetOf(child))) {
        found.add(targetOf(child));
        look(schemas[targetOf(child)]);
      }
    }
  };
  look(from);
  return found;
}

function rewrite(value: unknown, nameOf: (name: string) => string): unknown {
  if (Array.isArray(value)) return value.map((item) => rewrite(item, nameOf));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key, child]) => !isTrivialBound(key, child))
      .map(([key, child]) =>
        key === "$ref" && typeof child === "string" && child.startsWith(SCHEMAS)
          ? [key, SCHEMAS + nameOf(targetOf(child))]
          : [key, rewrite(child, nameOf)],
      ),
  );
}

/** Bounds that only state that an integer fits into a JavaScript number. */
const isTrivialBound = (key: string, value: unknown): boolean =>
  (key === "minimum" || key === "maximum") && Math.abs(value as number) === Number.MAX_SAFE_INTEGER;
