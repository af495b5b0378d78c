// A person in a room, as a test plays one: joins with a token, sees who is there and hears what is said.
import { type ParticipantKind, Room, RoomEvent } from "@livekit/rtc-node";
import { startNativeWithoutLogCapture } from "../../services/agent-host/stage-native.ts";

export interface Said {
  readonly topic: string | undefined;
  readonly from: string | undefined;
  // biome-ignore lint/suspicious/noExplicitAny: a test looks at messages of any shape.
  readonly message: any;
}

export interface Visitor {
  /** Data messages that arrived. */
  readonly said: readonly Said[];
  /** Who is there, without this one. */
  others(): { identity: string; kind: ParticipantKind | undefined; attributes: Record<string, string> }[];
  /** True once a track of somebody else has been subscribed to. */
  hears(): boolean;
  /** True from when LiveKit put this person out, or closed the room. */
  isOut(): boolean;
  /** Writes to the agent, which takes it as if it had been said. */
  write(text: string): Promise<void>;
  leave(): Promise<void>;
}

/** Joins a room as the answer of a start or a token request says. */
export async function visit(join: { url: string; token: string }): Promise<Visitor> {
  startNativeWithoutLogCapture();
  const room = new Room();
  const said: Said[] = [];
  room.on(RoomEvent.DataReceived, (payload, participant, _kind, topic) => {
    said.push({ topic, from: participant?.identity, message: parsed(payload) });
  });
  // It listens, as people do: an AgentSession waits for that before it closes.
  let hears = false;
  room.on(RoomEvent.TrackSubscribed, () => {
    hears = true;
  });
  await room.connect(join.url, join.token, { autoSubscribe: true, dynacast: false });
  return {
    said,
    others: () =>
      [...room.remoteParticipants.values()].map((other) => ({
        identity: other.identity,
        kind: other.info.kind,
        attributes: { ...other.attributes },
      })),
    hears: () => hears,
    isOut: () => !room.isConnected,
    write: async (text) => {
      await room.localParticipant?.sendText(text, { topic: "lk.chat" });
    },
    leave: () => room.disconnect(),
  };
}

function parsed(payload: Uint8Array): unknown {
  const text = new TextDecoder().decode(payload);
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
