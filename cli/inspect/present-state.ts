// How a session stands at this moment: its room in LiveKit, and its slot on its host.
import type { NatsInspector } from "../../libs/bus/nats/inspect.ts";
import { messageOf } from "../../libs/contracts/errors.ts";
import { HostRecord } from "../../libs/contracts/fleet/host.ts";
import { isProviderHost } from "../../libs/contracts/providers/provider.ts";
import type { SessionRecord } from "../../libs/contracts/sessions/session.ts";
import type { LiveKit } from "../../libs/livekit/rooms.ts";
import { redactTokens } from "../../libs/runtime/redact-tokens.ts";
import { parsed } from "./timeline.ts";

/** A sentence each. */
export interface Live {
  readonly room: string;
  readonly host: string;
}

export async function lookLive(
  look: Pick<NatsInspector, "stored">,
  livekit: LiveKit | undefined,
  record: SessionRecord,
): Promise<Live> {
  return { room: await roomNow(livekit, record.room), host: await hostNow(look, record) };
}

async function roomNow(livekit: LiveKit | undefined, room: string): Promise<string> {
  if (livekit === undefined)
    return "LiveKit can't be asked: no LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET are set.";
  if (livekit.isSimulated) return "Rooms are simulated (LIVEKIT_MOCK_MODE); each process has its own.";
  try {
    const rooms = await livekit.rooms.list();
    if (!rooms.some(({ name }) => name === room)) return `LiveKit has no room ${room}.`;
    const inside = (await livekit.rooms.participants(room)).map(
      ({ identity, isAgent }) => `${identity}${isAgent ? " (agent)" : ""}`,
    );
    return `In LiveKit's room ${room}: ${inside.length === 0 ? "nobody" : inside.join(", ")}.`;
  } catch (error) {
    return redactTokens(`LiveKit could not be asked: ${messageOf(error)}`);
  }
}

async function hostNow(
  look: Pick<NatsInspector, "stored">,
  { host, hostEpoch, sessionId, state }: SessionRecord,
): Promise<string> {
  if (host === undefined) return "No host has it.";
  if (isProviderHost(host)) return `It is with ${host}, whose agents are elsewhere.`;
  const [stored] = await look.stored("KV_hosts", `$KV.hosts.${host}`, 1);
  const read = HostRecord.safeParse(parsed(stored?.text));
  if (!read.success) return `Its host ${host} is not registered any more.`;
  const { epoch, draining, processes: stages } = read.data;
  if (epoch !== hostEpoch) return `Its host ${host} is in another life (epoch ${epoch}, not ${hostEpoch}).`;
  const is = draining ? "is draining" : "is up";
  for (const stage of stages) {
    const slot = stage.slots.find((one) => one.sessionId === sessionId);
    if (slot === undefined) continue;
    return `Its host ${host} ${is}: slot ${slot.id} is ${slot.state} with attempt ${slot.attempt}, in stage ${stage.id} (process ${stage.pid ?? "?"}).`;
  }
  return `Its host ${host} ${is} and has no slot for it${state === "ended" ? ", as is right for one that ended" : ""}.`;
}
