// An agent runner: accepts signed launches over HTTP, and serves each session that it can claim.
import { createServer } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { dispose } from "@livekit/rtc-node";
import { createApi } from "./api.ts";
import { createLaunches } from "./launches.ts";
import { serveSession } from "./serve-session.ts";
import { log, readSettings } from "./settings.ts";

/** Maximum time for sessions to report their end when the runner stops. Each continues with another agent. */
const STOP_MS = 5000;

const settings = readSettings(process.env);
const api = createApi(settings);
const stopping = new AbortController();
const running = new Set<Promise<void>>();

const launches = createLaunches(settings.launcherSecret, (launch) => {
  log("launched", { sessionId: launch.session_id, attempt: launch.attempt, agent: launch.agent_id });
  const work = serveSession(api, launch, stopping.signal)
    .catch((error: unknown) => log("failed", { sessionId: launch.session_id, reason: String(error) }))
    .finally(() => running.delete(work));
  running.add(work);
});

const server = createServer(async (request, response) => {
  if (request.method !== "POST" || request.url !== "/runtime/agent-sessions/launch") {
    response.writeHead(404).end("Send launches to POST /runtime/agent-sessions/launch.");
    return;
  }
  if (stopping.signal.aborted) {
    response.writeHead(503, { "retry-after": "5" }).end("This runner is stopping.");
    return;
  }
  const { status, words } = await launches.take(request);
  response.writeHead(status).end(words);
});
server.listen(settings.port, settings.bind, () => {
  const address = server.address();
  log("listening", { port: typeof address === "object" ? address?.port : address });
});

for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, stop);

async function stop(): Promise<void> {
  stopping.abort();
  server.close();
  await Promise.race([Promise.all(running), sleep(STOP_MS)]);
  await dispose();
  process.exit(0);
}
