// NATS's errors are told apart by what they are, not by a code that several of them share.
import { ErrorCode, NatsError } from "nats";
import { expect, test } from "vitest";
import { storageError } from "../../../../../libs/bus/nats/errors.ts";

/** As the client makes it of what JetStream answers. */
const refused = (err_code: number, description: string, code = 503) => {
  const error = new NatsError(description, String(code));
  error.api_error = { code, err_code, description };
  return error;
};

test.each([
  ["a stream that is full", refused(10077, "maximum bytes exceeded"), "storage_full", /is full/],
  ["no responder", new NatsError("503", ErrorCode.NoResponders), "storage_unavailable", /nobody answers/],
  ["silence", new NatsError("TIMEOUT", ErrorCode.Timeout), "storage_unavailable", /did not answer in time/],
  [
    "no leader",
    refused(10008, "JetStream system temporarily unavailable"),
    "storage_unavailable",
    /temporarily/,
  ],
] as const)("%s is called by its name", (_what, error, code, words) => {
  const told = storageError("storing a thing", error);
  expect(told.code).toBe(code);
  expect(told.message).toMatch(words);
  expect(told.message).toMatch(/^storing a thing: /);
});
