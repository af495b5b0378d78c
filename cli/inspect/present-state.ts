// The present state of a session: its room in LiveKit, and its slot on its host.
import type { NatsInspector } from "../../libs/bus/nats/inspect.ts";
import { messageOf } from "../../libs/contracts/errors.ts";
import { HostRecord } from "../../libs/contracts/fleet/host.ts";
import { isProviderHost } from "../../libs/contracts/providers/provider.ts";
import type { SessionRecord } from "../../libs/contracts/sessions/session.ts";
import type { LiveKit } from "../../libs/livekit/rooms.ts";
import { redactTokens } from "../../libs/runtime/redact-tokens.ts";
import { parsed } from "./timeline.ts";

/** One sentence for each. */
export interface PresentState {
  readonly room: string;
  readonly host: string;
}

export async function readPresentState(
  nats: Pick<NatsInspector, "stored">,
  livekit: LiveKit | undefined,
  record: SessionRecord,
): Promise<PresentState> {
  return { room: await roomNow(livekit, record.room), host: await hostNow(nats, record) };
}

async function roomNow(livekit: LiveKit | undefined, room: string): Promise<string> {
  if (livekit === undefined)
    return "LiveKit is not configured. Set LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET.";
  if (livekit.isSimulated) return "Rooms are simulated (LIVEKIT_MOCK_MODE), separately in each process.";
  try {
    const rooms = await livekit.rooms.list();
    if (!rooms.some(({ name }) => name === room)) return `LiveKit has no room ${room}.`;
    const inside = (await livekit.rooms.participants(room)).map(
      ({ identity, isAgent }) => `${identity}${isAgent ? " (agent)" : ""}`,
    );
    return `Participants of the room ${room}: ${inside.length === 0 ? "none" : inside.join(", ")}.`;
  } catch (error) {
    return redactTokens(`Failed to ask LiveKit: ${messageOf(error)}`);
  }
}

async function hostNow(
  nats: Pick<NatsInspector, "stored">,
  { host, hostEpoch, sessionId, state }: SessionRecord,
): Promise<string> {
  if (host === undefined) return "No host serves the session.";
  if (isProviderHost(host)) return `The session is with ${host}, whose agents are not on Greenroom's hosts.`;
  const [stored] = await nats.stored("KV_hosts", `$KV.hosts.${host}`, 1);
  const read = HostRecord.safeParse(parsed(stored?.text));
  if (!read.success) return `The host ${host} is no longer registered.`;
  const { epoch, draining, processes } = read.data;
  if (epoch !== hostEpoch) return `The host ${host} was restarted (epoch ${epoch} instead of ${hostEpoch}).`;
  const status = draining ? "is draining" : "is running";
  for (const agentProcess of processes) {
    const slot = agentProcess.slots.find((each) => each.sessionId === sessionId);
    if (slot === undefined) continue;
    return `The host ${host} ${status}: slot ${slot.id} is ${slot.state} with attempt ${slot.attempt}, in the agent process ${agentProcess.id} (pid ${agentProcess.pid ?? "?"}).`;
  }
  return `The host ${host} ${status} and has no slot for the session${state === "ended" ? ", as expected after its end" : ""}.`;
}
