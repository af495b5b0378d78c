// Checks that LiveKit Inference has credentials if an agent file names its models by strings.
import { readFile } from "node:fs/promises";
import { hasInferenceCredentials } from "../../libs/runtime/inference-credentials.ts";
import { findProfiles, type ProfileFile } from "../../services/agent-host/pool/find-profiles.ts";
import { check, type Finding, ok, warning } from "./check.ts";
import type { Sources } from "./sources.ts";

/** For example `llm: "openai/gpt-4o-mini"` or `new inference.STT(…)`. */
const USES_INFERENCE = /\b(?:llm|stt|tts)\s*:\s*["'`][\w.-]+\/|\binference\.(?:LLM|STT|TTS)\b/;

export const inferenceCheck = check({
  name: "inference",
  title: "LiveKit Inference",
  timeoutMs: 10_000,
  todo: "Check that the agent files can be read.",
  observe: async ({ config, env }: Sources): Promise<{ usedBy: string[]; hasCredentials: boolean }> => {
    const files = await findProfiles(config.GREENROOM_AGENTS_DIR).catch((): ProfileFile[] => []);
    const texts = await Promise.all(files.map(({ file }) => readFile(file, "utf8").catch(() => "")));
    return {
      usedBy: files.filter((_, n) => USES_INFERENCE.test(texts[n] ?? "")).map(({ profile }) => profile),
      hasCredentials: hasInferenceCredentials(config.LIVEKIT_URL ?? "", env),
    };
  },
  judge({ usedBy, hasCredentials }: { usedBy: readonly string[]; hasCredentials: boolean }): Finding[] {
    const profiles = usedBy.join(", ");
    if (usedBy.length === 0) return [ok("No agent file uses LiveKit Inference.")];
    if (hasCredentials) return [ok(`LiveKit Inference has credentials (for ${profiles}).`)];
    return [
      warning(
        `LiveKit Inference has no credentials, but ${profiles} names models by strings.`,
        "Set LIVEKIT_INFERENCE_API_KEY and LIVEKIT_INFERENCE_API_SECRET to the key and secret of a project in LiveKit Cloud.",
      ),
    ];
  },
});
