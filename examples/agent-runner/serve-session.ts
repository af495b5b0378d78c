// Serves one session from its claim to its end: joins the room, runs the agent, and reports.
import { ParticipantKind, Room, RoomEvent } from "@livekit/rtc-node";
import { echo } from "./agent.ts";
import { type Api, type EndReport, Refused } from "./api.ts";
import type { Launch } from "./launches.ts";
import { log } from "./settings.ts";

/** Maximum absence of the last user, for example during a change of networks. */
const AWAY_MS = 5000;

export async function serveSession(api: Api, launch: Launch, stopping: AbortSignal): Promise<void> {
  const startedAtMs = performance.now();
  const tookMs = () => Math.round(performance.now() - startedAtMs);
  const fields = { sessionId: launch.session_id, attempt: launch.attempt };
  const room = new Room();
  try {
    const claimed = await api.claim(launch);
    log("claimed", fields);
    await room.connect(claimed.url, claimed.token, { autoSubscribe: true, dynacast: false });
    const end = endOf(room, stopping);
    await api.report(launch, "joined", tookMs());
    await echo(room);
    // From now on the agent answers.
    await api.report(launch, "ready", tookMs());
    log("ready", { ...fields, tookMs: tookMs() });
    const report = await end;
    await api.ended(launch, report);
    log("ended", { ...fields, ...report });
  } catch (error) {
    // Refused: another runner serves the session, or it has ended. After any other error the session is retried.
    const reason = error instanceof Error ? error.message : String(error);
    log(error instanceof Refused ? "refused" : "failed", { ...fields, reason });
    if (!(error instanceof Refused)) await api.ended(launch, { error: reason }).catch(() => {});
  } finally {
    await room.disconnect();
  }
}

/** The first reason to end: the users leave, the room is closed, or this runner stops. */
function endOf(room: Room, stopping: AbortSignal): Promise<EndReport> {
  return new Promise((resolve) => {
    let away: NodeJS.Timeout | undefined;
    const people = () =>
      [...room.remoteParticipants.values()].filter(({ kind }) => kind !== ParticipantKind.AGENT).length;
    room.on(RoomEvent.ParticipantConnected, () => clearTimeout(away));
    room.on(RoomEvent.ParticipantDisconnected, () => {
      if (people() > 0) return;
      clearTimeout(away);
      away = setTimeout(() => resolve({ userLeft: true, reason: "the caller left" }), AWAY_MS);
    });
    room.on(RoomEvent.Disconnected, () => {
      clearTimeout(away);
      resolve({ reason: "the room was closed" });
    });
    const onStop = () => resolve({ error: "the agent runner stops" });
    if (stopping.aborted) onStop();
    else stopping.addEventListener("abort", onStop, { once: true });
  });
}
