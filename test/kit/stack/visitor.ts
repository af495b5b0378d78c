// A person in a room, as a test plays one: joins with a token, sees who is there and hears what is said.
import {
  AudioFrame,
  AudioSource,
  LocalAudioTrack,
  type ParticipantKind,
  Room,
  RoomEvent,
  TrackPublishOptions,
  TrackSource,
} from "@livekit/rtc-node";
import { startNativeWithoutLogCapture } from "../../../services/agent-host/agent-process/native.ts";
import type { Speech } from "../fixtures/speech.ts";

interface Said {
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
  /** Says it aloud, and is silent for a while afterwards, so that it is heard where it ends. */
  say(speech: Speech): Promise<void>;
  leave(): Promise<void>;
}

/** Longer than it takes an agent to find that somebody has finished. */
const SILENCE_S = 2;

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
    say: (speech) => sayIn(room, speech),
    leave: () => room.disconnect(),
  };
}

async function sayIn(room: Room, { audio, sampleRate }: Speech): Promise<void> {
  const source = new AudioSource(sampleRate, 1, 400);
  const track = LocalAudioTrack.createAudioTrack("voice", source);
  const options = new TrackPublishOptions({ source: TrackSource.SOURCE_MICROPHONE });
  await room.localParticipant?.publishTrack(track, options);
  const silence = new Int16Array(sampleRate * SILENCE_S);
  const frame = sampleRate / 50;
  // The source takes no more than fits its queue, so this goes at the speed of sound.
  for (const part of [silence.subarray(0, sampleRate / 2), audio, silence]) {
    for (let at = 0; at + frame <= part.length; at += frame)
      await source.captureFrame(new AudioFrame(part.slice(at, at + frame), sampleRate, 1, frame));
  }
  await source.waitForPlayout();
}

function parsed(payload: Uint8Array): unknown {
  const text = new TextDecoder().decode(payload);
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
