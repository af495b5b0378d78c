// Checks that LiveKit Inference has credentials if an agent file names its models by strings.
import { hasInferenceCredentials } from "../../libs/runtime/inference-credentials.ts";
import { agentCodeIn } from "./agent-code.ts";
import { check, type Finding, ok, warning } from "./check.ts";
import type { Sources } from "./sources.ts";

/** For example `llm: "openai/gpt-4o-mini"` or `new inference.STT(…)`. */
const USES_INFERENCE = /\b(?:llm|stt|tts)\s*:\s*["'`][\w.-]+\/|\binference\d*\.(?:LLM|STT|TTS)\b/;
export const INFERENCE_KEYS = ["LIVEKIT_INFERENCE_API_KEY", "LIVEKIT_INFERENCE_API_SECRET"] as const;

export const usesInference = (text: string): boolean => USES_INFERENCE.test(text);

interface InferenceSeen {
  readonly usedBy: readonly string[];
  readonly hasCredentials: boolean;
}

export const inferenceCheck = check({
  name: "inference",
  title: "LiveKit Inference",
  timeoutMs: 10_000,
  todo: "Check that the agent files can be read.",
  observe: async ({ agentEnv, agentsDir, config }: Sources): Promise<InferenceSeen> => {
    const agents = await agentCodeIn(agentsDir);
    return {
      usedBy: agents.filter(({ text }) => usesInference(text)).map(({ profile }) => profile),
      hasCredentials: hasInferenceCredentials(config.LIVEKIT_URL ?? "", agentEnv),
    };
  },
  judge({ usedBy, hasCredentials }: InferenceSeen): Finding[] {
    const profiles = usedBy.join(", ");
    if (usedBy.length === 0) return [ok("No agent file uses LiveKit Inference.")];
    if (hasCredentials) return [ok(`LiveKit Inference has credentials (for ${profiles}).`)];
    return [
      warning(
        `LiveKit Inference has no credentials, but is used by ${profiles}.`,
        `Set ${INFERENCE_KEYS.join(" and ")} to the key and secret of a project in LiveKit Cloud.`,
      ),
    ];
  },
});
