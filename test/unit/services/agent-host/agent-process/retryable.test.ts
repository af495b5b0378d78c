// Errors of agent files after which another attempt is of no use.
import { describe, expect, test } from "vitest";
import { isRetryable } from "../../../../../services/agent-host/agent-process/retryable.ts";

describe("isRetryable", () => {
  test.each([
    "OpenAI API key is required, whether as an argument or as $OPENAI_API_KEY",
    "Deepgram API key is required",
    "apiKey is required: pass apiKey or set LIVEKIT_API_KEY",
    "CARTESIA_API_KEY must be set",
    "Hume API key is required, whether as an argument or as $HUME_API_KEY",
    "apiKey must be provided or set via the RUNWAYML_API_SECRET environment variable",
    "ANAM_AVATAR_ID is required",
    "LEMONSLICE_IMAGE_URL must be set",
  ])("is false for a missing key or setting: %s", (message) => {
    expect(isRetryable(new Error(message))).toBe(false);
  });

  test.each([
    new TypeError("fetch failed"),
    new Error("the model file is missing"),
    new Error("a token is required"),
    new Error("the API key was rejected for now"),
    new Error("RESOURCE_EXHAUSTED: the quota of the model is used up"),
    new Error("INVALID_STATE: a session must be set up first"),
    "a text",
  ])("is true for %s", (error) => {
    expect(isRetryable(error)).toBe(true);
  });

  test("is false for an error that has the flag", () => {
    expect(isRetryable(Object.assign(new Error("no"), { retryable: false }))).toBe(false);
  });
});
