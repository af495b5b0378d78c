// A stand-in for Deepgram's streaming API. The server detects when someone speaks; a test provides the words.
import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { type WebSocket, WebSocketServer } from "ws";
import { level } from "../fixtures/speech.ts";

interface HeardUtterance {
  /** When the end was detected, by this process's Date.now(). */
  readonly at: number;
  readonly transcript: string;
  /** The duration of the sound, without the silence that ended it. */
  readonly durationMs: number;
  /** The loudness of the loudest audio message, from 0 to 1. */
  readonly peak: number;
}

export interface DeepgramStandIn {
  /** For DEEPGRAM_BASE_URL. */
  readonly url: string;
  readonly heard: HeardUtterance[];
  /** The query of each opened connection. */
  readonly connections: URLSearchParams[];
  refused(): number;
  /** Sets the transcripts of the next utterances; the last one repeats. */
  understand(...transcripts: string[]): void;
  close(): Promise<void>;
}

/** The level above which a sound is speech; a root mean square, from 0 to 1. */
const SPEECH_LEVEL = 0.01;
const SILENCE_ENDS_MS = 400;
/** The shortest speech; a shorter sound is a click. */
const SHORTEST_MS = 100;
const INTERIM_EVERY_MS = 300;

export async function startDeepgramStandIn(): Promise<DeepgramStandIn> {
  const sockets = new WebSocketServer({ noServer: true });
  const server = createServer((_request, response) => response.writeHead(404).end());
  const heard: HeardUtterance[] = [];
  const connections: URLSearchParams[] = [];
  let refused = 0;
  let script = ["hello"];
  const nextTranscript = (): string => (script.length > 1 ? script.shift()! : script[0]!);

  server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const url = new URL(request.url ?? "", "http://deepgram");
    if (!/^Token \S+$/.test(request.headers.authorization ?? "")) {
      refused += 1;
      return refuse(socket, 401, { err_code: "INVALID_AUTH", err_msg: "Invalid credentials." });
    }
    if (url.pathname !== "/v1/listen" || url.searchParams.get("encoding") !== "linear16") {
      return refuse(socket, 400, { err_code: "Bad Request", err_msg: `unsupported request: ${url}` });
    }
    sockets.handleUpgrade(request, socket, head, (client) => {
      connections.push(url.searchParams);
      new Listener(client, Number(url.searchParams.get("sample_rate")), {
        transcript: nextTranscript,
        onHeard: (utterance) => heard.push(utterance),
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}`,
    heard,
    connections,
    refused: () => refused,
    understand: (...transcripts) => {
      script = transcripts;
    },
    async close() {
      for (const client of sockets.clients) client.terminate();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function refuse(socket: Duplex, status: 400 | 401, body: object): void {
  const text = JSON.stringify({ ...body, request_id: randomUUID() });
  const head = `HTTP/1.1 ${status} ${status === 401 ? "Unauthorized" : "Bad Request"}`;
  const headers = `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(text)}\r\nConnection: close`;
  socket.end(`${head}\r\n${headers}\r\n\r\n${text}`);
}

interface ListenerDeps {
  readonly transcript: () => string;
  readonly onHeard: (utterance: HeardUtterance) => void;
}

interface Utterance {
  readonly transcript: string;
  readonly startMs: number;
  /** The end of the last sound so far. */
  endMs: number;
  peak: number;
  reportedMs: number;
}

/** One connection. Its time is the length of the received audio, like at Deepgram. */
class Listener {
  readonly #client: WebSocket;
  readonly #sampleRate: number;
  readonly #deps: ListenerDeps;
  readonly #requestId = randomUUID();
  #nowMs = 0;
  #utterance: Utterance | undefined;
  #lull: NodeJS.Timeout | undefined;

  constructor(client: WebSocket, sampleRate: number, deps: ListenerDeps) {
    this.#client = client;
    this.#sampleRate = sampleRate;
    this.#deps = deps;
    client.on("message", (data: Buffer, isBinary) =>
      isBinary ? this.#onAudio(data) : this.#onCommand(data.toString()),
    );
    client.on("close", () => clearTimeout(this.#lull));
  }

  #onAudio(data: Buffer): void {
    // The copy aligns the samples, because the bytes may begin at an odd address.
    const samples = new Int16Array(new Uint8Array(data).buffer);
    const loudness = level(samples);
    const tookMs = (samples.length / this.#sampleRate) * 1000;
    this.#nowMs += tookMs;
    if (loudness > SPEECH_LEVEL) this.#onSound(loudness, tookMs);
    else if (this.#utterance && this.#nowMs - this.#utterance.endMs >= SILENCE_ENDS_MS) this.#finish();
    // A client may send nothing during silence. Then the time that passes counts as silence.
    clearTimeout(this.#lull);
    this.#lull = setTimeout(() => this.#finish(), 2 * SILENCE_ENDS_MS);
  }

  #onSound(loudness: number, tookMs: number): void {
    if (this.#utterance === undefined) {
      const startMs = this.#nowMs - tookMs;
      this.#utterance = {
        transcript: this.#deps.transcript(),
        startMs,
        endMs: this.#nowMs,
        peak: loudness,
        reportedMs: startMs,
      };
      this.#send({ type: "SpeechStarted", channel: [0], timestamp: startMs / 1000 });
      return;
    }
    const utterance = this.#utterance;
    utterance.endMs = this.#nowMs;
    utterance.peak = Math.max(utterance.peak, loudness);
    if (this.#nowMs - utterance.reportedMs < INTERIM_EVERY_MS) return;
    utterance.reportedMs = this.#nowMs;
    // People speak about three words a second.
    const words = utterance.transcript.split(" ");
    const spoken = Math.ceil(((this.#nowMs - utterance.startMs) / 1000) * 3);
    this.#results(utterance, words.slice(0, spoken).join(" "), { is_final: false, speech_final: false });
  }

  #finish(fromFinalize = false): void {
    const utterance = this.#utterance;
    if (utterance === undefined) return;
    this.#utterance = undefined;
    const durationMs = utterance.endMs - utterance.startMs;
    const transcript = durationMs < SHORTEST_MS ? "" : utterance.transcript;
    const flags = { is_final: true, speech_final: true, from_finalize: fromFinalize };
    this.#results(utterance, transcript, flags);
    if (transcript === "") return;
    this.#deps.onHeard({ at: Date.now(), transcript, durationMs, peak: utterance.peak });
  }

  #onCommand(text: string): void {
    const { type } = JSON.parse(text) as { type: string };
    if (type === "Finalize") this.#finish(true);
    if (type !== "CloseStream") return;
    this.#finish();
    this.#send({ type: "Metadata", request_id: this.#requestId, duration: this.#nowMs / 1000, channels: 1 });
    this.#client.close(1000);
  }

  #results(utterance: Utterance, transcript: string, flags: object): void {
    const [start, duration] = [utterance.startMs / 1000, (utterance.endMs - utterance.startMs) / 1000];
    const spoken = transcript === "" ? [] : transcript.split(" ");
    const words = spoken.map((word, i) => ({
      word: word.toLowerCase(),
      punctuated_word: word,
      start: start + (duration * i) / spoken.length,
      end: start + (duration * (i + 1)) / spoken.length,
      confidence: 0.99,
    }));
    this.#send({
      type: "Results",
      channel_index: [0, 1],
      start,
      duration,
      from_finalize: false,
      ...flags,
      channel: { alternatives: [{ transcript, confidence: 0.99, words }] },
      metadata: {
        request_id: this.#requestId,
        model_info: { name: "stand-in", version: "1", arch: "stand-in" },
      },
    });
  }

  #send(message: object): void {
    if (this.#client.readyState === this.#client.OPEN) this.#client.send(JSON.stringify(message));
  }
}
