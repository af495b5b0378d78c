// A caller: joins the room with a real WebRTC client, sends sound for a while, and leaves.
import {
  AudioFrame,
  AudioSource,
  LocalAudioTrack,
  Room,
  TrackPublishOptions,
  TrackSource,
} from "@livekit/rtc-node";
import { startNativeWithoutLogCapture } from "../../../services/agent-host/agent-process/native.ts";

/** How much longer than planned a call waits for the agent's track on a busy machine. */
const TRACK_TIMEOUT_MS = 30_000;
const SAMPLE_RATE = 48_000;
const FRAME_MS = 20;
/** Loud enough not to pass as silence. */
const LOUDNESS = 4000;
const HERTZ = 220;

/** @returns whether the agent published a track */
export async function call(join: { url: string; token: string }, talkMs: number): Promise<boolean> {
  startNativeWithoutLogCapture();
  const room = new Room();
  let isSubscribed = false;
  room.on("trackSubscribed", () => {
    isSubscribed = true;
  });
  await room.connect(join.url, join.token, { autoSubscribe: true, dynacast: false });
  const source = new AudioSource(SAMPLE_RATE, 1);
  const track = LocalAudioTrack.createAudioTrack("microphone", source);
  try {
    const options = new TrackPublishOptions();
    options.source = TrackSource.SOURCE_MICROPHONE;
    await room.localParticipant?.publishTrack(track, options);
    const frames = Math.round(talkMs / FRAME_MS);
    // captureFrame waits for room in its queue, which paces this loop at real time.
    const deadline = performance.now() + talkMs + TRACK_TIMEOUT_MS;
    for (let frame = 0; room.isConnected && (frame < frames || !isSubscribed); frame++) {
      if (performance.now() > deadline) break;
      await source.captureFrame(hum(frame));
    }
    return isSubscribed;
  } finally {
    await track.close();
    await room.disconnect();
  }
}

function hum(frame: number): AudioFrame {
  const length = (SAMPLE_RATE * FRAME_MS) / 1000;
  const samples = new Int16Array(length);
  for (let i = 0; i < length; i++) {
    samples[i] = LOUDNESS * Math.sin((2 * Math.PI * HERTZ * (frame * length + i)) / SAMPLE_RATE);
  }
  return new AudioFrame(samples, SAMPLE_RATE, 1, length);
}
