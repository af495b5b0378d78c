// The credentials of LiveKit Inference.
import { expect, test } from "vitest";
import { hasInferenceCredentials } from "../../../../libs/runtime/inference-credentials.ts";

const KEYS = { LIVEKIT_INFERENCE_API_KEY: "key", LIVEKIT_INFERENCE_API_SECRET: "secret" };

test.each([
  { url: "wss://mine.livekit.cloud", env: {}, has: true },
  { url: "ws://127.0.0.1:7880", env: { LIVEKIT_API_KEY: "devkey" }, has: false },
  { url: "wss://livekit.cloud.example.com", env: {}, has: false },
  { url: "", env: {}, has: false },
  { url: "ws://127.0.0.1:7880", env: { LIVEKIT_INFERENCE_API_KEY: "key" }, has: false },
  { url: "ws://127.0.0.1:7880", env: KEYS, has: true },
  { url: "ws://127.0.0.1:7880", env: { LIVEKIT_INFERENCE_URL: "http://127.0.0.1:1/v1" }, has: true },
])("finds credentials with $url and $env: $has", ({ url, env, has }) => {
  expect(hasInferenceCredentials(url, env)).toBe(has);
});
