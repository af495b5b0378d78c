// A person in a room who notes when which agent was heard: what the silence of a hand-over is measured with.
import "./quiet-rtc.ts";
import { AudioStream, type RemoteTrack, Room, RoomEvent, TrackKind } from "@livekit/rtc-node";
import { startNativeWithoutLogCapture } from "../../../services/agent-host/agent-process/native.ts";

/** A stretch of sound from one participant; times are performance.now() of this process, in ms. */
export interface Sound {
  readonly from: string;
  readonly atMs: number;
}

interface Told {
  readonly type: string;
  readonly attempt: number;
  readonly atMs: number;
}

export interface Listener {
  /** Every frame that was no silence, in the order of its arrival. */
  readonly sounds: readonly Sound[];
  /** What agents said of themselves in data messages. */
  readonly told: readonly Told[];
  /** The identities of the others in the room. */
  others(): string[];
  /** True from when LiveKit put this person out, or closed the room. */
  isOut(): boolean;
  leave(): Promise<void>;
}

const RATE = 16_000;
const FRAME_MS = 10;
/** Of 32,768; the tone of the test agents has 5,600, what a dead connection leaves behind far less. */
const LOUD_RMS = 500;

export async function listenIn(join: { url: string; token: string }): Promise<Listener> {
  startNativeWithoutLogCapture();
  const room = new Room();
  const sounds: Sound[] = [];
  const told: Told[] = [];
  room.on(RoomEvent.DataReceived, (payload) => {
    const { type, attempt } = parsed(payload);
    told.push({ type: String(type), attempt: Number(attempt), atMs: performance.now() });
  });
  room.on(RoomEvent.TrackSubscribed, (track, _publication, participant) => {
    heardIn(track, participant.identity, sounds);
  });
  await room.connect(join.url, join.token, { autoSubscribe: true, dynacast: false });
  return {
    sounds,
    told,
    others: () => [...room.remoteParticipants.values()].map(({ identity }) => identity),
    isOut: () => !room.isConnected,
    leave: () => room.disconnect(),
  };
}

/** Notes from now on what is heard in a track. */
export function heardIn(track: RemoteTrack, from: string, sounds: Sound[]): void {
  if (track.kind !== TrackKind.KIND_AUDIO) return;
  // A track whose agent died at this moment is gone before it is heard.
  hear(track, from, sounds).catch(() => {});
}

/** The longest time without any sound between two moments, in ms. */
export function longestSilence(sounds: readonly Sound[], fromMs: number, toMs: number): number {
  const before = sounds.findLast(({ atMs }) => atMs <= fromMs)?.atMs ?? fromMs;
  const times = [before, ...sounds.map(({ atMs }) => atMs).filter((atMs) => atMs > fromMs && atMs <= toMs)];
  return Math.max(0, ...times.slice(1).map((atMs, i) => atMs - (times[i] ?? atMs)));
}

async function hear(track: RemoteTrack, from: string, sounds: Sound[]): Promise<void> {
  const stream = new AudioStream(track, { sampleRate: RATE, numChannels: 1, frameSizeMs: FRAME_MS });
  for await (const frame of stream) {
    if (rmsOf(frame.data) > LOUD_RMS) sounds.push({ from, atMs: performance.now() });
  }
}

function rmsOf(samples: Int16Array): number {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  return Math.sqrt(sum / Math.max(1, samples.length));
}

function parsed(payload: Uint8Array): Record<string, unknown> {
  try {
    return JSON.parse(new TextDecoder().decode(payload)) as Record<string, unknown>;
  } catch {
    return {};
  }
}
