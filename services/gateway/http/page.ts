// Serves the page at / with its files and the API's documentation, and limits what a browser may load.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import helmet from "@fastify/helmet";
import fastifyStatic from "@fastify/static";
import swaggerUi from "@fastify/swagger-ui";
import type { LiveKit } from "../../../libs/livekit/rooms.ts";
import { assetFile } from "../../../libs/runtime/compiled.ts";
import type { Routes } from "./routes.ts";

const publicDir = assetFile("services/gateway/http/public/");
const { resolve } = createRequire(import.meta.url);
const livekitClientDir = dirname(resolve("livekit-client"));
const swaggerUiDir = join(dirname(resolve("@fastify/swagger-ui")), "static");
const LIVEKIT_CLIENT = "livekit-client.esm.mjs";

export function servePage(app: Routes): void {
  app.register(fastifyStatic, { root: publicDir, prefix: "/", index: "index.html", wildcard: false });
  app.register(swaggerUi, {
    routePrefix: "/docs",
    // The package's defaults are relative to its own code, which a bundle moves.
    baseDir: swaggerUiDir,
    logo: { type: "image/svg+xml", content: readFileSync(join(swaggerUiDir, "logo.svg")) },
    theme: { title: "Greenroom API" },
    uiConfig: { layout: "BaseLayout", docExpansion: "list", defaultModelsExpandDepth: 0 },
  });
  app.get(`/vendor/${LIVEKIT_CLIENT}`, { schema: { hide: true } }, (_request, reply) =>
    reply.sendFile(LIVEKIT_CLIENT, livekitClientDir),
  );
}

/** Sends headers that restrict a browser to the addresses of the gateway and LiveKit. */
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
    // HTTPS is the task of the proxy in front.
    strictTransportSecurity: false,
    // Pages of other addresses may use the API if CORS allows it.
    crossOriginResourcePolicy: { policy: "cross-origin" },
    crossOriginOpenerPolicy: false,
    originAgentCluster: false,
  });
}

/** LiveKit's address for WebSockets and for HTTP, which its client uses to find the reason of a failure. */
export function livekitSources(livekit: Pick<LiveKit, "publicUrl"> | undefined): string[] {
  if (livekit === undefined || !URL.canParse(livekit.publicUrl)) return [];
  const { protocol, host } = new URL(livekit.publicUrl);
  const secure = protocol === "wss:" || protocol === "https:" ? "s" : "";
  const own = [`ws${secure}://${host}`, `http${secure}://${host}`];
  // LiveKit Cloud redirects clients to the nearest region, which has another name.
  return host.endsWith(".livekit.cloud") ? [...own, "wss://*.livekit.cloud", "https://*.livekit.cloud"] : own;
}
