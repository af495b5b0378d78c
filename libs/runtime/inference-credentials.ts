// Finds out whether LiveKit Inference has credentials.

/** Hosts of LiveKit Cloud, whose keys are the credentials of LiveKit Inference, too. */
const CLOUD = /\.livekit\.(cloud|run)$/;

/** Whether LiveKit's code has what it needs for models named by strings. @param livekitUrl the server of the rooms */
export function hasInferenceCredentials(
  livekitUrl: string,
  env: Readonly<Record<string, string | undefined>>,
): boolean {
  const { LIVEKIT_INFERENCE_API_KEY: key, LIVEKIT_INFERENCE_API_SECRET: secret } = env;
  if ((key && secret) || env.LIVEKIT_INFERENCE_URL) return true;
  return URL.canParse(livekitUrl) && CLOUD.test(new URL(livekitUrl).hostname);
}
