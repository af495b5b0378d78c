// Checks that LiveKit Inference has credentials before an agent file uses it.
import { inference } from "@livekit/agents";
import { hasInferenceCredentials } from "../../../libs/runtime/inference-credentials.ts";

interface Options {
  readonly baseURL?: string;
  readonly apiKey?: string;
}

type ModelClass = (new (options: Options) => object) & { fromModelString(model: string): object };

const CLASSES = ["LLM", "STT", "TTS"] as const;

class NoCredentialsError extends Error {
  readonly retryable = false;
}

/**
 * Makes the models of LiveKit Inference fail where they are created. LiveKit's own code would ask LiveKit Cloud with the
 * key of this LiveKit server, which has no meaning there, once for each request.
 *
 * @returns the exports of `inference` for agent files, which check the models that these create themselves
 */
export function requireInferenceCredentials(livekitUrl: string): typeof inference {
  const check = (model: string, { apiKey, baseURL }: Options = {}) => {
    if (apiKey || baseURL || hasInferenceCredentials(livekitUrl, process.env)) return;
    throw new NoCredentialsError(
      `${model} is a model of LiveKit Inference, which needs a key of LiveKit Cloud. Set LIVEKIT_INFERENCE_API_KEY and LIVEKIT_INFERENCE_API_SECRET, or use the plugin of a provider.`,
    );
  };
  const checked = CLASSES.map((name) => {
    const Model = inference[name] as unknown as ModelClass;
    const { fromModelString } = Model;
    Model.fromModelString = (model) => {
      check(model);
      return fromModelString.call(Model, model);
    };
    const construct = (target: ModelClass, args: [Options & { model?: string }], newTarget: ModelClass) => {
      check(args[0]?.model ?? `inference.${name}`, args[0]);
      return Reflect.construct(target, args, newTarget);
    };
    return [name, new Proxy(Model, { construct })];
  });
  return { ...inference, ...Object.fromEntries(checked) };
}
