// The child process of the audio check: two participants join a room, each plays a tone and listens for the other's.
import {
  AudioFrame,
  AudioSource,
  AudioStream,
  LocalAudioTrack,
  type RemoteTrack,
  Room,
  RoomEvent,
  TrackKind,
  TrackPublishOptions,
  TrackSource,
} from "@livekit/rtc-node";
import { messageOf } from "../../libs/contracts/errors.ts";
import { redactTokens } from "../../libs/runtime/redact-tokens.ts";
import { startNativeWithoutLogCapture } from "../../services/agent-host/agent-process/native.ts";
import type { CallFacts, CallOrder } from "./call-each-other.ts";
import { isTone, toneOf } from "./tone.ts";

const RATE = 48_000;
const FRAME_MS = 20;
/** Far apart, and not harmonics of each other, so that an echo is never mistaken for the other's tone. */
const TONES_HZ = [700, 1150] as const;
const HEAR_MS = 15_000;
/** A single matching frame may be chance. */
const FRAMES_IN_A_ROW = 5;

process.on("disconnect", () => process.exit(0));
process.once("message", (order: CallOrder) => {
  call(order)
    .catch(
      (error: unknown): CallFacts => ({
        joinMs: 0,
        heardMs: [],
        error: redactTokens(messageOf(error)),
      }),
    )
    .then((facts) => process.send?.(facts, () => process.exit(0)));
});

async function call({ url, tokens }: CallOrder): Promise<CallFacts> {
  startNativeWithoutLogCapture();
  const rooms = tokens.map(() => new Room());
  const began = performance.now();
  const heard = rooms.map((room, index) => listen(room, TONES_HZ[1 - index] ?? 0));
  await Promise.all(
    rooms.map((room, index) =>
      room.connect(url, tokens[index] ?? "", { autoSubscribe: true, dynacast: false }),
    ),
  );
  const joinMs = performance.now() - began;
  const playedAt = performance.now();
  await Promise.all(rooms.map((room, index) => play(room, TONES_HZ[index] ?? 0)));
  const late = new Promise<undefined>((resolve) => setTimeout(resolve, HEAR_MS, undefined));
  const heardMs = await Promise.all(
    heard.map(async (hearing) => {
      const at = await Promise.race([hearing, late]);
      return at === undefined ? undefined : at - playedAt;
    }),
  );
  await Promise.all(rooms.map((room) => room.disconnect().catch(() => {})));
  return { joinMs, heardMs };
}

async function play(room: Room, hertz: number): Promise<void> {
  const source = new AudioSource(RATE, 1, 200);
  const track = LocalAudioTrack.createAudioTrack("doctor", source);
  const options = new TrackPublishOptions({ source: TrackSource.SOURCE_MICROPHONE });
  await room.localParticipant?.publishTrack(track, options);
  void (async () => {
    const size = (RATE * FRAME_MS) / 1000;
    // captureFrame waits while the queue is full, so frames are sent in real time.
    for (let at = 0; room.isConnected; at += size) {
      await source.captureFrame(new AudioFrame(toneOf(hertz, RATE, at, size), RATE, 1, size));
    }
  })().catch(() => {});
}

/** @returns when the tone was heard, by performance.now() */
function listen(room: Room, hertz: number): Promise<number> {
  return new Promise((resolve) => {
    room.on(RoomEvent.TrackSubscribed, (track: RemoteTrack) => {
      if (track.kind !== TrackKind.KIND_AUDIO) return;
      void (async () => {
        let inARow = 0;
        const stream = new AudioStream(track, { sampleRate: RATE, numChannels: 1, frameSizeMs: FRAME_MS });
        for await (const { data } of stream) {
          inARow = isTone(data, RATE, hertz) ? inARow + 1 : 0;
          if (inARow === FRAMES_IN_A_ROW) return resolve(performance.now());
        }
      })().catch(() => {});
    });
  });
}
