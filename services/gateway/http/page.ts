// The page at / and the files it needs, the API's documentation, and what a browser may load with them.
import { createRequire } from "node:module";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import helmet from "@fastify/helmet";
import fastifyStatic from "@fastify/static";
import swaggerUi from "@fastify/swagger-ui";
import type { LiveKit } from "../../../libs/livekit/rooms.ts";
import type { Routes } from "./routes.ts";

const publicDir = fileURLToPath(new URL("./public/", import.meta.url));
const livekitClientDir = dirname(createRequire(import.meta.url).resolve("livekit-client"));
const LIVEKIT_CLIENT = "livekit-client.esm.mjs";

export function servePage(app: Routes): void {
  app.register(fastifyStatic, { root: publicDir, prefix: "/", index: "index.html", wildcard: false });
  app.register(swaggerUi, {
    routePrefix: "/docs",
    theme: { title: "Greenroom API" },
    uiConfig: { layout: "BaseLayout", docExpansion: "list", defaultModelsExpandDepth: 0 },
  });
  app.get(`/vendor/${LIVEKIT_CLIENT}`, { schema: { hide: true } }, (_request, reply) =>
    reply.sendFile(LIVEKIT_CLIENT, livekitClientDir),
  );
}

/** Headers that keep a browser to this address and LiveKit's. */
export function guardBrowsers(app: Routes, livekit: LiveKit | undefined): void {
  app.register(helmet, {
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        defaultSrc: ["'self'"],
        connectSrc: ["'self'", ...livekitSources(livekit)],
        mediaSrc: ["'self'", "blob:", "mediastream:"],
        workerSrc: ["'self'", "blob:"],
        imgSrc: ["'self'", "data:"],
        baseUri: ["'none'"],
        formAction: ["'self'"],
        frameAncestors: ["'none'"],
        objectSrc: ["'none'"],
      },
    },
    // Whether there is HTTPS is the business of the proxy in front.
    strictTransportSecurity: false,
    // The API may be used by pages of other addresses where CORS allows it.
    crossOriginResourcePolicy: { policy: "cross-origin" },
    crossOriginOpenerPolicy: false,
    originAgentCluster: false,
  });
}

/** LiveKit's address by WebSocket and by HTTP, which its client asks for the reason of a failure. */
export function livekitSources(livekit: Pick<LiveKit, "publicUrl"> | undefined): string[] {
  if (livekit === undefined || !URL.canParse(livekit.publicUrl)) return [];
  const { protocol, host } = new URL(livekit.publicUrl);
  const secure = protocol === "wss:" || protocol === "https:" ? "s" : "";
  const own = [`ws${secure}://${host}`, `http${secure}://${host}`];
  // LiveKit Cloud sends clients on to the nearest region, which has another name.
  return host.endsWith(".livekit.cloud") ? [...own, "wss://*.livekit.cloud", "https://*.livekit.cloud"] : own;
}
