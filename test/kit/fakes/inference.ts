// A stand-in for LiveKit's inference gateway and OpenAI: chat, speech with real sound, transcription, and realtime.
import { randomUUID } from "node:crypto";
import { TokenVerifier } from "livekit-server-sdk";
import { type WebSocket, WebSocketServer } from "ws";
import { level, synthesize } from "../fixtures/speech.ts";
import { type OpenAiStandIn, startOpenAiStandIn } from "./openai.ts";
import { converse } from "./realtime.ts";

export interface InferenceCredentials {
  readonly apiKey: string;
  readonly apiSecret: string;
}

export interface InferenceStandIn extends OpenAiStandIn {
  /** Each opened connection, for example `/v1/stt?model=deepgram%2Fnova-3`. */
  readonly connections: string[];
  /** Sets the transcript of each utterance. */
  understand(transcript: string): void;
}

/** The level above which a sound is speech; a root mean square, from 0 to 1. */
const SPEECH_LEVEL = 0.01;
const SILENCE_ENDS_MS = 400;

/**
 * Its `url` is for LIVEKIT_INFERENCE_URL, and for OPENAI_BASE_URL.
 * @param credentials what the gateway's tokens must be signed with
 */
export async function startInferenceStandIn(credentials: InferenceCredentials): Promise<InferenceStandIn> {
  const sockets = new WebSocketServer({ noServer: true });
  const verifier = new TokenVerifier(credentials.apiKey, credentials.apiSecret);
  const connections: string[] = [];
  let transcript = "hello";
  const models = await startOpenAiStandIn(async (request, socket, head) => {
    const path = request.url ?? "";
    const key = request.headers.authorization?.replace("Bearer ", "") ?? "";
    const talk = conversations[new URL(path, "http://inference").pathname];
    // OpenAI's key may be anything.
    const grants = await verifier.verify(key).catch(() => undefined);
    const isAllowed = talk === realtime ? key !== "" : grants?.inference?.perform === true;
    if (talk === undefined || !isAllowed) {
      const status = talk === undefined ? "404 Not Found" : "401 Unauthorized";
      return socket.end(`HTTP/1.1 ${status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`);
    }
    connections.push(path);
    sockets.handleUpgrade(request, socket, head, (client) => talk(client, () => transcript));
  });
  return Object.assign(models, {
    connections,
    understand: (next: string) => {
      transcript = next;
    },
    close: closing(models.close.bind(models), sockets),
  });
}

function closing(close: () => Promise<void>, sockets: WebSocketServer): () => Promise<void> {
  return () => {
    for (const client of sockets.clients) client.terminate();
    return close();
  };
}

type Conversation = (client: WebSocket, transcript: () => string) => void;

const realtime: Conversation = (client) => converse(client, (text = "nothing") => `You said: ${text}.`);

const conversations: Record<string, Conversation> = {
  "/v1/tts": textToSpeech,
  "/v1/stt": speechToText,
  "/v1/realtime": realtime,
};

/** Speaks the text between two flushes, in the rate of the session. */
function textToSpeech(client: WebSocket): void {
  const session_id = randomUUID();
  let rate = 16_000;
  let text = "";
  const send = senderOf(client);
  client.on("message", async (data: Buffer) => {
    const message = JSON.parse(data.toString());
    if (message.type === "session.create") {
      rate = Number(message.sample_rate);
      send({ type: "session.created", session_id });
    }
    if (message.type === "input_transcript") text += message.transcript;
    if (message.type === "session.close") client.close();
    if (message.type !== "session.flush") return;
    const spoken = text.trim();
    text = "";
    if (spoken !== "") {
      const { audio } = await synthesize(spoken, rate);
      const bytes = Buffer.from(audio.buffer, audio.byteOffset, audio.byteLength);
      send({ type: "output_audio", audio: bytes.toString("base64"), session_id });
    }
    send({ type: "done", session_id });
  });
}

/** Detects when someone speaks, and answers with the transcript. */
function speechToText(client: WebSocket, transcript: () => string): void {
  const session_id = randomUUID();
  let rate = 16_000;
  let [nowMs, startMs, endMs] = [0, 0, 0];
  let isSpeaking = false;
  const send = senderOf(client);
  const finish = (): void => {
    if (!isSpeaking) return;
    isSpeaking = false;
    const [start, duration] = [startMs / 1000, (endMs - startMs) / 1000];
    send({ type: "final_transcript", session_id, transcript: transcript(), language: "en", start, duration });
  };
  const hear = (samples: Int16Array): void => {
    const tookMs = (samples.length / rate) * 1000;
    nowMs += tookMs;
    if (level(samples) > SPEECH_LEVEL) {
      if (!isSpeaking) startMs = nowMs - tookMs;
      isSpeaking = true;
      endMs = nowMs;
    } else if (nowMs - endMs >= SILENCE_ENDS_MS) finish();
  };
  client.on("message", (data: Buffer) => {
    const message = JSON.parse(data.toString());
    if (message.type === "session.create") {
      rate = Number(message.settings.sample_rate);
      send({ type: "session.created", session_id });
    }
    if (message.type === "input_audio")
      hear(new Int16Array(new Uint8Array(Buffer.from(message.audio, "base64")).buffer));
    if (message.type === "session.finalize") {
      finish();
      send({ type: "session.finalized" });
    }
    if (message.type !== "session.close") return;
    send({ type: "session.closed" });
    client.close();
  });
}

const senderOf = (client: WebSocket) => (message: object) => {
  if (client.readyState === client.OPEN) client.send(JSON.stringify(message));
};
