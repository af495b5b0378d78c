// Ends the session of a user who has left the room before the agent has seen anybody.
import { isPerson } from "../../../libs/livekit/rooms.ts";
import type { Gateway } from "../context.ts";
import { requestEnd } from "./end-session.ts";
import { liveSessionIn } from "./ensure-session.ts";
import type { PublicSession } from "./public-session.ts";

/** The time in which a user may come back, for example with a page that reloads. */
const UNSEEN_MS = 10_000;

/**
 * LiveKit announces a participant without tracks up to three seconds late. An agent therefore never sees a user who leaves
 * before that, and would wait for this user until `GREENROOM_USER_JOIN_TIMEOUT_MS`. Hosts report all other users who leave.
 */
export async function handleDeparture(gateway: Gateway, room: string, identity: string): Promise<void> {
  const live = liveSessionIn(gateway, room);
  if (live === undefined || identity !== live.user.id || !mayWait(gateway, live)) return;
  const { sessionId } = live;
  await gateway.subscriptions.until(sessionId, ({ record }) => record.state === "ended", UNSEEN_MS);
  if (gateway.subscriptions.isStopped) return;
  const now = liveSessionIn(gateway, room);
  if (now?.sessionId !== sessionId || !mayWait(gateway, now)) return;
  const present = (await gateway.livekit?.rooms.participants(room)) ?? [];
  if (present.some(isPerson)) return;
  gateway.log.info({ room, sessionId }, "ending the session of a user who left before the agent saw them");
  await requestEnd(gateway, sessionId, { reason: "user left" });
}

/**
 * Whether the agent may have seen no user yet. An earlier attempt may have seen one, and then its host's time to come back
 * applies. Other providers have reports of their own.
 */
function mayWait({ hosts }: Gateway, { attempt, host, provider, sessionId }: PublicSession): boolean {
  if (attempt > 1 || (provider !== undefined && provider !== "pool")) return false;
  const slots = hosts.get(host ?? "")?.processes.flatMap((process) => process.slots) ?? [];
  const slot = slots.find((one) => one.sessionId === sessionId && one.attempt === attempt);
  return slot?.userJoined !== true;
}
