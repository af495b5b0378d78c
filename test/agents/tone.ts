// A test agent that plays a tone all the time, from before it is ready until it leaves.
import { defineAgent, type JobContext } from "@livekit/agents";
import {
  AudioFrame,
  AudioSource,
  LocalAudioTrack,
  TrackPublishOptions,
  TrackSource,
} from "@livekit/rtc-node";
import { ready } from "greenroom/agent";
import { logJob } from "./_test-session.ts";

export const pool = { min: 4, hot: 0, max: 60, perProcess: 30, isolation: "shared" };

const RATE = 48_000;
const FRAME = RATE / 50;
const HERTZ = 440;

export default defineAgent({
  entry: async (ctx: JobContext) => {
    logJob(ctx);
    await ctx.connect();
    const source = new AudioSource(RATE, 1, 200);
    const track = LocalAudioTrack.createAudioTrack("tone", source);
    const options = new TrackPublishOptions({ source: TrackSource.SOURCE_MICROPHONE });
    await ctx.room.localParticipant?.publishTrack(track, options);
    let isOver = false;
    const over = () => {
      isOver = true;
    };
    ctx.room.once("disconnected", over);
    ctx.addShutdownCallback(async () => over());
    void play(source, () => isOver);
    ready();
  },
});

async function play(source: AudioSource, isOver: () => boolean): Promise<void> {
  const frame = new AudioFrame(
    Int16Array.from({ length: FRAME }, (_, i) => 8000 * Math.sin((2 * Math.PI * HERTZ * i) / RATE)),
    RATE,
    1,
    FRAME,
  );
  // `captureFrame` waits for room in the queue, so the loop runs in real time.
  while (!isOver()) await source.captureFrame(frame);
}
