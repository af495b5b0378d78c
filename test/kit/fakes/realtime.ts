// A stand-in for OpenAI's Realtime API: it answers text in text and sound. It does not listen.
import { randomUUID } from "node:crypto";
import type { WebSocket } from "ws";
import { synthesize } from "../fixtures/speech.ts";

/** The rate of the API's PCM, in Hz. */
const PCM_RATE = 24_000;

/** @param answer computes an answer from the last text of the user */
export function converse(client: WebSocket, answer: (text: string | undefined) => string): void {
  let last: { id: string; text?: string } | undefined;
  let modalities = ["audio"];
  const send = (message: object): void => {
    if (client.readyState === client.OPEN)
      client.send(JSON.stringify({ event_id: `event_${randomUUID()}`, ...message }));
  };
  const add = (item: { id: string }, text?: string): void => {
    send({ type: "conversation.item.added", previous_item_id: last?.id ?? null, item });
    last = { id: item.id, ...(text === undefined ? {} : { text }) };
  };

  async function respond(metadata: object | undefined): Promise<void> {
    const id = `resp_${randomUUID()}`;
    const item = { id: `item_${randomUUID()}`, type: "message", role: "assistant", content: [] };
    const text = answer(last?.text);
    const at = { response_id: id, item_id: item.id, output_index: 0, content_index: 0 };
    send({ type: "response.created", response: { id, status: "in_progress", metadata } });
    send({ type: "response.output_item.added", ...at, item });
    add(item);
    if (modalities.includes("audio")) {
      send({ type: "response.content_part.added", ...at, part: { type: "audio", transcript: "" } });
      send({ type: "response.output_audio_transcript.delta", ...at, delta: text });
      const { audio } = await synthesize(text, PCM_RATE);
      const bytes = Buffer.from(audio.buffer, audio.byteOffset, audio.byteLength);
      send({ type: "response.output_audio.delta", ...at, delta: bytes.toString("base64") });
      send({ type: "response.output_audio_transcript.done", ...at, transcript: text });
      send({ type: "response.output_audio.done", ...at });
    } else {
      send({ type: "response.content_part.added", ...at, part: { type: "text", text: "" } });
      send({ type: "response.output_text.delta", ...at, delta: text });
      send({ type: "response.output_text.done", ...at, text });
    }
    send({ type: "response.output_item.done", ...at, item: { ...item, status: "completed" } });
    const usage = { total_tokens: 20, input_tokens: 10, output_tokens: 10 };
    send({ type: "response.done", response: { id, status: "completed", metadata, output: [item], usage } });
  }

  send({ type: "session.created", session: { id: `sess_${randomUUID()}` } });
  client.on("message", (data: Buffer) => {
    const message = JSON.parse(data.toString());
    if (message.type === "session.update") {
      modalities = message.session.output_modalities ?? modalities;
      send({ type: "session.updated", session: message.session });
    }
    if (message.type === "conversation.item.create") add(message.item, message.item.content?.[0]?.text);
    if (message.type === "conversation.item.delete")
      send({ type: "conversation.item.deleted", item_id: message.item_id });
    if (message.type === "response.create") void respond(message.response?.metadata);
  });
}
