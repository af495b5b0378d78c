// The check of the credentials of LiveKit Inference.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { inferenceCheck } from "../../../../cli/doctor/inference-check.ts";
import type { Sources } from "../../../../cli/doctor/sources.ts";

async function levelOf(text: string, env: Record<string, string> = {}): Promise<string | undefined> {
  const folder = mkdtempSync(join(tmpdir(), "greenroom-agents-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, "support.ts"), text);
  const config = { LIVEKIT_URL: "ws://127.0.0.1:7880" };
  const sources = { config, agentsDir: folder, agentEnv: env } as unknown as Sources;
  return (await inferenceCheck.run(sources, new AbortController().signal))[0]?.level;
}

const KEYS = { LIVEKIT_INFERENCE_API_KEY: "key", LIVEKIT_INFERENCE_API_SECRET: "secret" };

test.each([
  ['new voice.AgentSession({ llm: "openai/gpt-4o-mini" })', {}, "warning"],
  ['new inference.STT({ model: "deepgram/nova-3" })', {}, "warning"],
  ['new voice.AgentSession({ llm: "openai/gpt-4o-mini" })', KEYS, "ok"],
  ['new openai.LLM({ model: "gpt-4o-mini" })', {}, "ok"],
])("judges %s with %j as %s", async (text, env, level) => {
  expect(await levelOf(text, env)).toBe(level);
});
