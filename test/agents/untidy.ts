// A test agent that plays sound and cleans nothing up, like most agent files.
import { defineAgent, type JobContext } from "@livekit/agents";
import {
  AudioFrame,
  AudioSource,
  LocalAudioTrack,
  TrackPublishOptions,
  TrackSource,
} from "@livekit/rtc-node";
import { ready } from "greenroom/agent";

export const pool = { min: 2, hot: 0, max: 60, perProcess: 30, isolation: "shared" };

const RATE = 48_000;
const FRAME = RATE / 50;
const FRAMES = 25;

export default defineAgent({
  entry: async (ctx: JobContext) => {
    await ctx.connect();
    const source = new AudioSource(RATE, 1, 200);
    const track = LocalAudioTrack.createAudioTrack("noise", source);
    const options = new TrackPublishOptions({ source: TrackSource.SOURCE_MICROPHONE });
    await ctx.room.localParticipant?.publishTrack(track, options);
    ready();
    await ctx.waitForParticipant();
    for (let frame = 0; frame < FRAMES && ctx.room.isConnected; frame++) {
      const samples = Int16Array.from({ length: FRAME }, (_, i) => (i % 100) * 100);
      await source.captureFrame(new AudioFrame(samples, RATE, 1, FRAME));
    }
  },
});
