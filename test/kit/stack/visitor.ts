// A simulated user in a room, who joins with a token, sees the participants and receives data messages.
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
import { heardIn, type Sound } from "./listener.ts";

interface Said {
  readonly topic: string | undefined;
  readonly from: string | undefined;
  // biome-ignore lint/suspicious/noExplicitAny: tests read messages of any shape.
  readonly message: any;
}

export interface Visitor {
  /** The received data messages. */
  readonly said: readonly Said[];
  /** The other participants. */
  others(): { identity: string; kind: ParticipantKind | undefined; attributes: Record<string, string> }[];
  /** True once the visitor is subscribed to a track of another participant. */
  hears(): boolean;
  /** True once LiveKit has removed this participant or closed the room. */
  isOut(): boolean;
  /** Registers for transcripts, like a page that shows the conversation. @returns the transcripts of other participants */
  reads(): readonly { readonly text: string }[];
  /** Listens to the tracks of other participants. @returns every frame that isn't silence, in order of arrival */
  listens(): readonly Sound[];
  /** Sends text to the agent, which treats it like speech. */
  write(text: string): Promise<void>;
  /** Speaks, and stays silent for a while, so that the agent detects the end. */
  say(speech: Speech): Promise<void>;
  /** Calls a method of another participant. */
  call(identity: string, method: string, payload: string): Promise<string>;
  leave(): Promise<void>;
}

/** Longer than an agent needs to detect the end of an utterance. */
const SILENCE_S = 2;

/** Joins a room with the answer of a start or a token request. */
export async function visit(join: { url: string; token: string }): Promise<Visitor> {
  startNativeWithoutLogCapture();
  const room = new Room();
  const said: Said[] = [];
  room.on(RoomEvent.DataReceived, (payload, participant, _kind, topic) => {
    said.push({ topic, from: participant?.identity, message: parsed(payload) });
  });
  // The visitor subscribes to tracks, because an AgentSession waits for a subscriber before it closes.
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
    reads: () => {
      const transcripts: { text: string }[] = [];
      room.registerTextStreamHandler("lk.transcription", async (reader) => {
        const transcript = { text: "" };
        transcripts.push(transcript);
        try {
          for await (const part of reader) transcript.text += part;
        } catch {
          // The visitor left the room.
        }
      });
      return transcripts;
    },
    listens: () => {
      const sounds: Sound[] = [];
      for (const { identity, trackPublications } of room.remoteParticipants.values())
        for (const { track } of trackPublications.values()) if (track) heardIn(track, identity, sounds);
      room.on(RoomEvent.TrackSubscribed, (track, _, { identity }) => heardIn(track, identity, sounds));
      return sounds;
    },
    write: async (text) => {
      await room.localParticipant?.sendText(text, { topic: "lk.chat" });
    },
    say: (speech) => sayIn(room, speech),
    call: async (destinationIdentity, method, payload) =>
      (await room.localParticipant?.performRpc({ destinationIdentity, method, payload })) ?? "",
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
  // `captureFrame` waits for room in the queue, so the loop runs in real time.
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
