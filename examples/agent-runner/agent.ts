// The agent of this runner: plays a tone to each participant who joins, and echoes text messages.
import {
  AudioFrame,
  AudioSource,
  LocalAudioTrack,
  type Room,
  RoomEvent,
  TrackPublishOptions,
  TrackSource,
} from "@livekit/rtc-node";

const RATE = 48_000;
const FRAME_MS = 20;
const TONE_HZ = 440;
const TONE_MS = 600;
const LOUDNESS = 6000;

/** Put your own agent here. The agent is ready when this function returns. */
export async function echo(room: Room): Promise<void> {
  const local = room.localParticipant;
  if (local === undefined) throw new Error("The agent is not in the room.");
  room.registerTextStreamHandler("lk.chat", async (reader) => {
    const text = await reader.readAll();
    const answer = new TextEncoder().encode(JSON.stringify({ echo: text }));
    await local.publishData(answer, { reliable: true, topic: "echo" });
  });
  const source = new AudioSource(RATE, 1);
  const track = LocalAudioTrack.createAudioTrack("agent", source);
  const options = new TrackPublishOptions();
  options.source = TrackSource.SOURCE_MICROPHONE;
  await local.publishTrack(track, options);
  const greet = () => void tone(source).catch(() => {}); // The room may close at the same time.
  room.on(RoomEvent.ParticipantConnected, greet);
  if (room.remoteParticipants.size > 0) greet();
}

async function tone(source: AudioSource): Promise<void> {
  const samples = (RATE * FRAME_MS) / 1000;
  for (let at = 0; at < TONE_MS / FRAME_MS; at++) {
    const data = new Int16Array(samples);
    for (let i = 0; i < samples; i++)
      data[i] = Math.round(LOUDNESS * Math.sin((2 * Math.PI * TONE_HZ * (at * samples + i)) / RATE));
    await source.captureFrame(new AudioFrame(data, RATE, 1, samples));
  }
}
