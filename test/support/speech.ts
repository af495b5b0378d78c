// Spoken sentences for tests, made by espeak-ng and sox, and a measure of how alike two pieces of sound are.
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** `audio` is 16 bit, mono; `sampleRate` in Hz. */
export interface Speech {
  readonly text: string;
  readonly sampleRate: number;
  readonly audio: Int16Array;
}

export interface MicrophoneOptions {
  /** Silence before the sentence, in s. */
  readonly before: number;
  /** Silence after it, in s. */
  readonly after: number;
}

const DEFAULT_VOICE = "en-us";
const made = new Map<string, Promise<Speech>>();

/** A sentence spoken; the same one is made once. @param voice a name of espeak-ng's, as "en-us" or "en-gb" */
export function speak(text: string, sampleRate: number, voice = DEFAULT_VOICE): Promise<Speech> {
  const key = `${sampleRate} ${voice} ${text}`;
  const known = made.get(key);
  if (known !== undefined) return known;
  const speech = synthesize(text, sampleRate, voice);
  made.set(key, speech);
  speech.catch(() => made.delete(key));
  return speech;
}

async function synthesize(text: string, sampleRate: number, voice: string): Promise<Speech> {
  const dir = await mkdtemp(join(tmpdir(), "greenroom-speech-"));
  const spoken = join(dir, "spoken.wav");
  const converted = join(dir, "converted.wav");
  try {
    await program("espeak-ng", ["-v", voice, "-s", "150", "-w", spoken, text]);
    await program("sox", [spoken, "-r", String(sampleRate), "-c", "1", "-b", "16", converted, "norm", "-4"]);
    return { text, sampleRate, audio: samplesOf(await readFile(converted)) };
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/** Writes a WAV file for Chromium's microphone: silence, the sentence, silence; 48 kHz, 16 bit, mono. */
export async function writeMicrophoneFile(
  file: string,
  text: string,
  silence: MicrophoneOptions,
): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), "greenroom-speech-"));
  const spoken = join(dir, "spoken.wav");
  try {
    await program("espeak-ng", ["-v", DEFAULT_VOICE, "-s", "150", "-w", spoken, text]);
    const format = ["-r", "48000", "-c", "1", "-b", "16"];
    const pad = ["pad", String(silence.before), String(silence.after)];
    await program("sox", [spoken, ...format, file, "norm", "-4", ...pad]);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

async function program(name: string, args: string[]): Promise<void> {
  try {
    await run(name, args);
  } catch (error) {
    if ((error as { code?: unknown }).code !== "ENOENT") throw error;
    throw new Error(
      `${name} is not installed. The browser tests speak with it: apt-get install espeak-ng sox`,
    );
  }
}

/** The samples of a WAV file's "data" chunk. */
export function samplesOf(wav: Buffer): Int16Array {
  for (let at = 12; at + 8 <= wav.length; ) {
    const size = wav.readUInt32LE(at + 4);
    if (wav.toString("latin1", at, at + 4) === "data") {
      const end = Math.min(wav.length, at + 8 + size);
      return new Int16Array(new Uint8Array(wav.subarray(at + 8, end)).buffer);
    }
    at += 8 + size + (size % 2);
  }
  throw new Error("The WAV file has no data");
}

/** Loudness over time: one root mean square, from 0 to 1, for each `stepMs`. */
export function envelope({ audio, sampleRate }: Speech, stepMs: number): number[] {
  const size = Math.round((sampleRate * stepMs) / 1000);
  const levels: number[] = [];
  for (let at = 0; at < audio.length; at += size) levels.push(level(audio.subarray(at, at + size)));
  return levels;
}

/** Root mean square, from 0 to 1. */
export function level(samples: Int16Array): number {
  let sum = 0;
  for (const sample of samples) sum += (sample / 32_768) ** 2;
  return Math.sqrt(sum / Math.max(1, samples.length));
}

/** Where `wanted` is found best within `heard`, and how well: 1 is the very same course, 0 none in common. */
export function findIn(
  heard: readonly number[],
  wanted: readonly number[],
): { at: number; likeness: number } {
  let best = { at: -1, likeness: 0 };
  for (let at = 0; at + wanted.length <= heard.length; at++) {
    const likeness = correlation(heard.slice(at, at + wanted.length), wanted);
    if (likeness > best.likeness) best = { at, likeness };
  }
  return best;
}

function correlation(a: readonly number[], b: readonly number[]): number {
  const [meanA, meanB] = [mean(a), mean(b)];
  let [both, onlyA, onlyB] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [a[i]! - meanA, b[i]! - meanB];
    both += x * y;
    onlyA += x * x;
    onlyB += y * y;
  }
  return onlyA === 0 || onlyB === 0 ? 0 : both / Math.sqrt(onlyA * onlyB);
}

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
