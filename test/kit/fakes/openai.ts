// A stand-in for OpenAI's API: streamed chat completions, and speech with real sound.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { type Speech, synthesize, TONES_HZ, withTone } from "../fixtures/speech.ts";

export interface ChatMessage {
  readonly role: string;
  readonly content: unknown;
}

export interface ChatRequest {
  readonly at: number;
  readonly model: string;
  readonly messages: readonly ChatMessage[];
}

interface SpeechRequest {
  /** When the speech was sent, by this process's Date.now(). */
  readonly at: number;
  readonly model: string;
  readonly voice: string;
  readonly input: string;
  readonly speech: Speech;
}

/** A call of a tool. An answer may have several. */
interface ToolCall {
  readonly tool: string;
  readonly arguments: object;
}

type ChatAnswer = string | ToolCall | readonly ToolCall[];

export interface OpenAiStandIn {
  /** For OPENAI_BASE_URL. */
  readonly url: string;
  readonly chats: ChatRequest[];
  readonly speeches: SpeechRequest[];
  /** The number of requests without a valid key. */
  refused(): number;
  /** Sets the function that computes the model's answers. */
  answerWith(answer: (messages: readonly ChatMessage[]) => ChatAnswer): void;
  close(): Promise<void>;
}

/** The rate of OpenAI's PCM, in Hz. */
const PCM_RATE = 24_000;
/** The pause between two words of an answer. */
const WORD_MS = 15;

export const lastOf = (messages: readonly ChatMessage[], role: string): string | undefined => {
  const found = messages.findLast((message) => message.role === role);
  return found === undefined ? undefined : textOf(found.content);
};

/** Returns the text of a message's content, which is a string or a list of parts. */
export function textOf(content: unknown): string {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return "";
  return content.map((part) => (part as { text?: string }).text ?? "").join("");
}

/** Handles a request for a WebSocket. */
export type OnUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer) => void;

export async function startOpenAiStandIn(onUpgrade?: OnUpgrade): Promise<OpenAiStandIn> {
  const standIn = new StandIn(onUpgrade);
  await standIn.listen();
  return standIn;
}

class StandIn implements OpenAiStandIn {
  readonly chats: ChatRequest[] = [];
  readonly speeches: SpeechRequest[] = [];
  readonly #spoken: string[] = [];
  #refused = 0;
  #answer: (messages: readonly ChatMessage[]) => ChatAnswer = (messages) =>
    `You said: ${lastOf(messages, "user") ?? "nothing"}.`;
  readonly #server = createServer((request, response) => {
    this.#handle(request, response).catch((error: unknown) => {
      if (!response.headersSent) refuse(response, 500, "server_error", String(error));
      else response.destroy();
    });
  });

  constructor(onUpgrade?: OnUpgrade) {
    if (onUpgrade !== undefined) this.#server.on("upgrade", onUpgrade);
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/v1`;
  }

  refused = (): number => this.#refused;

  answerWith(answer: (messages: readonly ChatMessage[]) => ChatAnswer): void {
    this.#answer = answer;
  }

  listen(): Promise<void> {
    return new Promise((resolve) => this.#server.listen(0, "127.0.0.1", () => resolve()));
  }

  close(): Promise<void> {
    this.#server.closeAllConnections();
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (!/^Bearer \S+$/.test(request.headers.authorization ?? "")) {
      this.#refused += 1;
      const message = "You didn't provide an API key.";
      return refuse(response, 401, "invalid_request_error", message);
    }
    const route = `${request.method} ${request.url}`;
    // The client sends this request to open its connection early.
    if (route === "GET /v1/models") return json(response, 200, { object: "list", data: [] });
    if (route === "POST /v1/chat/completions") return this.#chat(await bodyOf(request), response);
    if (route === "POST /v1/audio/speech") return this.#speech(await bodyOf(request), response);
    refuse(response, 404, "invalid_request_error", `Unknown request URL: ${route}`);
  }

  // biome-ignore lint/suspicious/noExplicitAny: a request's body.
  async #chat(body: any, response: ServerResponse): Promise<void> {
    this.chats.push({ at: Date.now(), model: body.model, messages: body.messages });
    const common = {
      id: `chatcmpl-${this.chats.length}`,
      object: "chat.completion.chunk",
      created: Math.floor(Date.now() / 1000),
      model: body.model,
      service_tier: "default",
      system_fingerprint: "fp_1",
    };
    const send = (delta: object | undefined, finish: string | null, rest: object = {}): void => {
      const choices = delta === undefined ? [] : [{ index: 0, delta, logprobs: null, finish_reason: finish }];
      response.write(`data: ${JSON.stringify({ ...common, choices, ...rest })}\n\n`);
    };
    response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8" });
    send({ role: "assistant", content: "", refusal: null }, null);
    const answer = this.#answer(body.messages);
    for (const delta of deltasOf(answer, `call_${this.chats.length}`)) {
      await new Promise((resolve) => setTimeout(resolve, WORD_MS));
      // An interrupted client closes the connection.
      if (response.destroyed) return;
      send(delta, null);
    }
    send({}, typeof answer === "string" ? "stop" : "tool_calls");
    if (body.stream_options?.include_usage === true) {
      send(undefined, null, { usage: { prompt_tokens: 10, completion_tokens: 10, total_tokens: 20 } });
    }
    response.end("data: [DONE]\n\n");
  }

  // biome-ignore lint/suspicious/noExplicitAny: a request's body.
  async #speech(body: any, response: ServerResponse): Promise<void> {
    if (body.response_format !== "pcm") {
      const message = `This stand-in supports pcm, not ${body.response_format}.`;
      return refuse(response, 400, "invalid_request_error", message);
    }
    const speech = withTone(await synthesize(body.input, PCM_RATE), this.#toneOf(body.input));
    this.speeches.push({ at: Date.now(), model: body.model, voice: body.voice, input: body.input, speech });
    response.writeHead(200, { "content-type": "audio/pcm" });
    const { buffer, byteOffset, byteLength } = speech.audio;
    response.end(Buffer.from(buffer, byteOffset, byteLength));
  }

  /** Each text has a tone of its own, up to the number of tones. */
  #toneOf(input: string): number {
    if (!this.#spoken.includes(input)) this.#spoken.push(input);
    return TONES_HZ[this.#spoken.indexOf(input) % TONES_HZ.length]!;
  }
}

/** Splits an answer like OpenAI does: a text into words, a tool call into its name and its arguments. */
function deltasOf(answer: ChatAnswer, id: string): object[] {
  if (typeof answer === "string") return answer.split(/(?= )/).map((content) => ({ content }));
  const calls = "tool" in answer ? [answer] : answer;
  return calls.flatMap(({ tool, arguments: given }, index) => {
    const part = (call: object) => ({ tool_calls: [{ index, ...call }] });
    return [
      part({ id: `${id}_${index}`, type: "function", function: { name: tool, arguments: "" } }),
      part({ function: { arguments: JSON.stringify(given) } }),
    ];
  });
}

// biome-ignore lint/suspicious/noExplicitAny: a request's body.
async function bodyOf(request: IncomingMessage): Promise<any> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return JSON.parse(Buffer.concat(parts).toString());
}

function json(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}

const refuse = (response: ServerResponse, status: number, type: string, message: string): void =>
  json(response, status, { error: { message, type, param: null, code: null } });
