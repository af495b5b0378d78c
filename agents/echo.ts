// An agent without API keys: greets, then plays back the user's voice.
import { readFileSync } from "node:fs";
import { ReadableStream } from "node:stream/web";
import { defineAgent, type JobContext, type JobProcess, voice } from "@livekit/agents";
import {
  AudioFrame,
  AudioStream,
  ParticipantKind,
  type RemoteAudioTrack,
  type RemoteParticipant,
  type RemoteTrack,
  RoomEvent,
  TrackKind,
} from "@livekit/rtc-node";
import { disableAutoGreeting, getResumption } from "greenroom/agent";

const SAMPLE_RATE = 24_000;
const GREETING = "Hello! I am echo. Say something, and I will say it back.";
/** Replaces the greeting after a failover. */
const BACK = "Sorry, I was cut off for a moment. Please say that again.";
/** Samples above this level count as speech; full scale is 32,767. */
const SPEECH_LEVEL = 600;
const SILENCE_ENDS_TURN_MS = 700;
const LONGEST_TURN_MS = 15_000;

export const pool = { min: 3, hot: 1, max: 50, perProcess: 10, isolation: "shared" };

export default defineAgent({
  prewarm: async (proc: JobProcess) => {
    proc.userData.greeting = loadWav(new URL("assets/hello.wav", import.meta.url));
    proc.userData.back = loadWav(new URL("assets/back.wav", import.meta.url));
  },
  entry: async (ctx: JobContext) => {
    await ctx.connect();
    // Without speech synthesis, Greenroom can't apologize for this agent after a failover.
    disableAutoGreeting();
    const session = new voice.AgentSession({ vad: null, turnHandling: { turnDetection: null } });
    await session.start({
      agent: new voice.Agent({ instructions: "You repeat what you hear." }),
      room: ctx.room,
      inputOptions: { audioEnabled: false },
    });
    const listenTo = (track: RemoteTrack, participant: RemoteParticipant) => {
      if (track.kind !== TrackKind.KIND_AUDIO || participant.info.kind === ParticipantKind.AGENT) return;
      void echo(session, track);
    };
    ctx.room.on(RoomEvent.TrackSubscribed, (track, _publication, participant) =>
      listenTo(track, participant),
    );
    for (const participant of ctx.room.remoteParticipants.values()) {
      for (const { track } of participant.trackPublications.values()) if (track) listenTo(track, participant);
    }
    await ctx.waitForParticipant();
    if (getResumption() === undefined) {
      session.say(GREETING, { audio: framesOf(ctx.proc.userData.greeting as Int16Array) });
    } else {
      session.say(BACK, { audio: framesOf(ctx.proc.userData.back as Int16Array), addToChatCtx: false });
    }
  },
});

/** Records the user until a pause, then plays the recording. Ignores audio while the agent speaks. */
async function echo(session: voice.AgentSession, track: RemoteAudioTrack): Promise<void> {
  let heard: Int16Array[] = [];
  let speechMs = 0;
  let silenceMs = 0;
  for await (const frame of new AudioStream(track, SAMPLE_RATE, 1)) {
    const frameMs = (frame.samplesPerChannel / SAMPLE_RATE) * 1000;
    const isLoud = loudness(frame.data) > SPEECH_LEVEL;
    if (session.agentState === "speaking") {
      heard = [];
      speechMs = 0;
      continue;
    }
    heard.push(frame.data.slice());
    speechMs += isLoud ? frameMs : 0;
    silenceMs = isLoud ? 0 : silenceMs + frameMs;
    if (speechMs === 0) {
      heard = heard.slice(-30); // Keeps the moment before the first word.
      continue;
    }
    if (silenceMs < SILENCE_ENDS_TURN_MS && heard.length * frameMs < LONGEST_TURN_MS) continue;
    if (speechMs > 150) session.say("(what you said)", { audio: framesOf(join(heard)), addToChatCtx: false });
    heard = [];
    speechMs = 0;
  }
}

function loudness(samples: Int16Array): number {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  return Math.sqrt(sum / Math.max(1, samples.length));
}

function join(parts: Int16Array[]): Int16Array {
  const all = new Int16Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** Splits the samples into frames of 100 ms. */
function framesOf(samples: Int16Array): ReadableStream<AudioFrame> {
  const size = SAMPLE_RATE / 10;
  return new ReadableStream({
    start(controller) {
      for (let at = 0; at < samples.length; at += size) {
        const part = samples.slice(at, at + size);
        controller.enqueue(new AudioFrame(part, SAMPLE_RATE, 1, part.length));
      }
      controller.close();
    },
  });
}

/** Reads a 16-bit mono WAV file with the right sample rate, without its header of 44 bytes. */
function loadWav(file: URL): Int16Array {
  const bytes = readFileSync(file);
  return new Int16Array(bytes.buffer.slice(bytes.byteOffset + 44, bytes.byteOffset + bytes.byteLength));
}
