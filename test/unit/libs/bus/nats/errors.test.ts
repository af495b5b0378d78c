// Errors of NATS, distinguished by their meaning, because several share a code.
import { ErrorCode, NatsError } from "nats";
import { expect, test } from "vitest";
import { storageError } from "../../../../../libs/bus/nats/errors.ts";

/** An error like the client's for an answer of JetStream. */
const refused = (err_code: number, description: string, code = 503) => {
  const error = new NatsError(description, String(code));
  error.api_error = { code, err_code, description };
  return error;
};

test.each([
  ["a stream that is full", refused(10077, "maximum bytes exceeded"), "storage_full", /is full/],
  ["no responder", new NatsError("503", ErrorCode.NoResponders), "storage_unavailable", /did not respond/],
  [
    "a message above the server's limit",
    new NatsError("MAX_PAYLOAD_EXCEEDED", ErrorCode.MaxPayloadExceeded),
    "payload_too_large",
    /max_payload: 1MB/,
  ],
  ["silence", new NatsError("TIMEOUT", ErrorCode.Timeout), "storage_unavailable", /did not answer in time/],
  [
    "no leader",
    refused(10008, "JetStream system temporarily unavailable"),
    "storage_unavailable",
    /temporarily/,
  ],
] as const)("maps %s to its code", (_what, error, code, message) => {
  const mapped = storageError("storing a thing", error);
  expect(mapped.code).toBe(code);
  expect(mapped.message).toMatch(message);
  expect(mapped.message).toMatch(/^storing a thing: /);
});
