// The stand-ins of OpenAI and Deepgram reject what the real services reject, which gives the other tests meaning.
import { describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { startDeepgramStandIn } from "../kit/fakes/deepgram.ts";
import { startOpenAiStandIn } from "../kit/fakes/openai.ts";
import { synthesize } from "../kit/fixtures/speech.ts";

describe("OpenAI stand-in", () => {
  test("rejects a request without a key", async () => {
    const openai = await startOpenAiStandIn();
    try {
      const response = await fetch(`${openai.url}/chat/completions`, { method: "POST", body: "{}" });
      expect(response.status).toBe(401);
      expect(await response.json()).toMatchObject({ error: { type: "invalid_request_error" } });
      expect(openai.refused()).toBe(1);
    } finally {
      await openai.close();
    }
  });
});

describe("Deepgram stand-in", () => {
  test("rejects a connection without a key", async () => {
    const deepgram = await startDeepgramStandIn();
    try {
      const client = new WebSocket(`${deepgram.url}/v1/listen?encoding=linear16&sample_rate=16000`);
      const error = await new Promise<Error>((resolve) => client.once("error", resolve));
      expect(error.message).toContain("401");
      expect(deepgram.refused()).toBe(1);
    } finally {
      await deepgram.close();
    }
  });

  test("transcribes speech, but not silence", async () => {
    const deepgram = await startDeepgramStandIn();
    deepgram.understand("the first words", "the second words");
    const { audio } = await synthesize("These words don't matter.", 16_000);
    const silence = new Int16Array(16_000);
    try {
      const client = new WebSocket(`${deepgram.url}/v1/listen?encoding=linear16&sample_rate=16000`, {
        headers: { Authorization: "Token a-key" },
      });
      // biome-ignore lint/suspicious/noExplicitAny: messages of any type.
      const messages: any[] = [];
      client.on("message", (text) => messages.push(JSON.parse(text.toString())));
      await new Promise((resolve) => client.once("open", resolve));
      for (const part of [silence, audio, silence, silence, audio, silence]) {
        // Sends 100 ms at a time, like the plugin.
        for (let at = 0; at < part.length; at += 1600) client.send(part.slice(at, at + 1600));
      }
      client.send(JSON.stringify({ type: "CloseStream" }));
      await new Promise((resolve) => client.once("close", resolve));
      const finals = messages.filter((message) => message.type === "Results" && message.is_final);
      expect(finals.map((message) => message.channel.alternatives[0].transcript)).toEqual([
        "the first words",
        "the second words",
      ]);
      expect(messages.filter((message) => message.type === "SpeechStarted")).toHaveLength(2);
      expect(messages.filter((message) => message.is_final === false).length).toBeGreaterThan(1);
      expect(messages.at(-1)).toMatchObject({ type: "Metadata" });
    } finally {
      await deepgram.close();
    }
  });
});
