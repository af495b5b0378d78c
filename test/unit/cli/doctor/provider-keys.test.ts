// Keys of providers: which are used, and whether they are accepted.
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { providers, providersIn, tryKey } from "../../../../cli/doctor/provider-keys.ts";

test("finds the providers whose keys the files need", () => {
  const files = [
    { profile: "talks", text: 'import * as openai from "@livekit/agents-plugin-openai";' },
    { profile: "hears", text: "process.env.DEEPGRAM_API_KEY" },
    { profile: "plays", text: "nothing" },
  ];
  const used = providersIn(files, { GREENROOM_PROVIDERS: "legacy=vapi:abc, other=livekit" });
  expect(used.map(({ provider, usedBy }) => [provider.key, usedBy])).toEqual([
    ["OPENAI_API_KEY", ["talks"]],
    ["DEEPGRAM_API_KEY", ["hears"]],
    ["GREENROOM_VAPI_KEY", ["legacy"]],
  ]);
});

describe("tryKey", () => {
  let server: Server | undefined;
  afterEach(() => server?.close());

  test("tries the key at the configured address, in the request's header", async () => {
    const requests: (string | undefined)[] = [];
    server = createServer((request, response) => {
      requests.push(`${request.url} ${request.headers.authorization}`);
      response.statusCode = request.headers.authorization?.endsWith("good") ? 200 : 401;
      response.end("{}");
    });
    await new Promise<void>((resolve) => server?.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const [openai, deepgram] = providers;
    const signal = new AbortController().signal;
    const env = { OPENAI_BASE_URL: `http://127.0.0.1:${port}/v1`, OPENAI_API_KEY: "good" };
    expect(await tryKey(openai!, env, signal)).toEqual({ kind: "accepted" });
    const other = { DEEPGRAM_BASE_URL: `ws://127.0.0.1:${port}/v1/listen`, DEEPGRAM_API_KEY: "bad" };
    expect(await tryKey(deepgram!, other, signal)).toEqual({ kind: "rejected", status: 401 });
    expect(requests).toEqual(["/v1/models Bearer good", "/v1/projects Token bad"]);
  });
});
