// A participant that records when each agent was heard. Tests measure the silence of a failover with it.
import "./quiet-rtc.ts";
import { AudioStream, type RemoteTrack, Room, RoomEvent, TrackKind } from "@livekit/rtc-node";
import { messageOf } from "../../../libs/contracts/errors.ts";
import { startNativeWithoutLogCapture } from "../../../services/agent-host/agent-process/native.ts";

/** A frame of sound from one participant. Times are performance.now() of this process, in ms. */
export interface Sound {
  readonly from: string;
  readonly atMs: number;
}

interface AgentMessage {
  readonly type: string;
  readonly attempt: number;
  readonly atMs: number;
}

export interface Listener {
  /** Every frame that wasn't silence, in order of arrival. */
  readonly sounds: readonly Sound[];
  /** The data messages of agents. */
  readonly messages: readonly AgentMessage[];
  /** The identities of the other participants. */
  others(): string[];
  /** True once LiveKit has removed this participant or closed the room. */
  isOut(): boolean;
  /** Describes the other participants and their tracks, for the message of a failing test. */
  describe(): string;
  leave(): Promise<void>;
}

const RATE = 16_000;
const FRAME_MS = 10;
/** Of 32,768. The tone of the test agents has 5,600; the noise of a dead connection is far lower. */
const LOUD_RMS = 500;

export async function listenIn(join: { url: string; token: string }): Promise<Listener> {
  startNativeWithoutLogCapture();
  const room = new Room();
  const sounds: Sound[] = [];
  const messages: AgentMessage[] = [];
  const failures: string[] = [];
  room.on(RoomEvent.DataReceived, (payload) => {
    const { type, attempt } = parsed(payload);
    messages.push({ type: String(type), attempt: Number(attempt), atMs: performance.now() });
  });
  room.on(RoomEvent.TrackSubscribed, (track, _publication, participant) => {
    heardIn(track, participant.identity, sounds, failures);
  });
  room.on(RoomEvent.TrackSubscriptionFailed, (sid, { identity }, reason) => {
    failures.push(`subscription to ${sid} of ${identity}: ${reason}`);
  });
  await room.connect(join.url, join.token, { autoSubscribe: true, dynacast: false });
  return {
    sounds,
    messages,
    others: () => [...room.remoteParticipants.values()].map(({ identity }) => identity),
    isOut: () => !room.isConnected,
    describe: () => describe(room, sounds, failures),
    leave: () => room.disconnect(),
  };
}

/** Records the sounds of a track from now on. */
export function heardIn(track: RemoteTrack, from: string, sounds: Sound[], failures: string[] = []): void {
  if (track.kind !== TrackKind.KIND_AUDIO) return;
  // A track fails to open when its agent dies at this moment.
  recordSounds(track, from, sounds).catch((error) => failures.push(`track of ${from}: ${messageOf(error)}`));
}

function describe(room: Room, sounds: readonly Sound[], failures: readonly string[]): string {
  const participants = [...room.remoteParticipants.values()].map(({ identity, trackPublications }) => ({
    identity,
    tracks: [...trackPublications.values()].map(({ sid, subscribed, muted }) => ({ sid, subscribed, muted })),
    sounds: sounds.filter(({ from }) => from === identity).length,
  }));
  return JSON.stringify({ connection: room.connectionState, participants, failures });
}

/** Returns the longest time without any sound between two times, in ms. */
export function longestSilence(sounds: readonly Sound[], fromMs: number, toMs: number): number {
  const before = sounds.findLast(({ atMs }) => atMs <= fromMs)?.atMs ?? fromMs;
  const times = [before, ...sounds.map(({ atMs }) => atMs).filter((atMs) => atMs > fromMs && atMs <= toMs)];
  return Math.max(0, ...times.slice(1).map((atMs, i) => atMs - (times[i] ?? atMs)));
}

async function recordSounds(track: RemoteTrack, from: string, sounds: Sound[]): Promise<void> {
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
