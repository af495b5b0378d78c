// The largest bulk request: the gateway accepts every task, and holds only a few at a time.

import { once } from "node:events";
import { type ClientRequest, request as httpRequest } from "node:http";
import { afterEach, expect, test, vi } from "vitest";
import type { Bus } from "../../../../../libs/bus/bus.ts";
import { DEFAULT_TENANT } from "../../../../../libs/contracts/ids.ts";
import { taskRequests } from "../../../../../libs/contracts/streams.ts";
import { taskIdOfKey } from "../../../../../libs/domain/task/task-ids.ts";
import { until } from "../../../../kit/until.ts";
import { type Rig, startRig } from "../../../../kit/worlds/gateway-world.ts";

vi.setConfig({ testTimeout: 120_000 });

const COUNT = 10_000;
/** Makes each task 3.1 kB, and all of them 31 MB. */
const FILLING = "x".repeat(3000);
/** Far more than the sockets of both sides buffer, and far less than the whole body. */
const READ_AHEAD_MAX = 15_000_000;

let rig: Rig | undefined;
afterEach(async () => {
  vi.restoreAllMocks();
  await rig?.stop();
});

const keyOf = (n: number): string => `order ${n}`;
const numberOf = (n: number): string => `+1555${String(n).padStart(7, "0")}`;
const lineOf = (n: number): string =>
  `${JSON.stringify({ to: numberOf(n), profile: "echo", idempotencyKey: keyOf(n), metadata: { text: FILLING } })}\n`;

/** Delays what is stored until release(), and counts what is being stored at the same time. */
function watchStore(of: Rig) {
  const seen = { atOnce: 0, most: 0, isHeld: true, release: () => {} };
  const released = new Promise<void>((resolve) => {
    seen.release = () => {
      seen.isHeld = false;
      resolve();
    };
  });
  const streams = Object.getPrototypeOf(of.bus.streams) as Bus["streams"];
  const { publish } = streams;
  vi.spyOn(streams, "publish").mockImplementation(async function (this: Bus["streams"], channel, message) {
    seen.atOnce += 1;
    seen.most = Math.max(seen.most, seen.atOnce);
    try {
      if (seen.isHeld) await released;
      return await publish.call(this, channel as never, message as never);
    } finally {
      seen.atOnce -= 1;
    }
  });
  return seen;
}

/** Sends all tasks as fast as the gateway reads them. */
async function sendAll(request: ClientRequest, sent: { bytes: number }): Promise<void> {
  for (let n = 0; n < COUNT; n++) {
    const line = lineOf(n);
    sent.bytes += line.length;
    if (!request.write(line)) await once(request, "drain");
  }
  request.end();
}

test("accepts 10,000 tasks in one request, each with its own result, and reads no faster than it stores", async () => {
  rig = await startRig();
  await rig.app.listen({ host: "127.0.0.1", port: 0 });
  const store = watchStore(rig);
  const { port } = rig.app.server.address() as { port: number };
  const sent = { bytes: 0 };
  let text = "";
  const request = httpRequest({ port, host: "127.0.0.1", path: "/api/tasks/bulk", method: "POST" });
  request.setHeader("content-type", "application/x-ndjson");
  const answered = new Promise<number | undefined>((resolve, reject) => {
    request.on("error", reject);
    request.on("response", (response) => {
      response.setEncoding("utf8");
      response.on("data", (part: string) => {
        text += part;
      });
      response.on("end", () => resolve(response.statusCode));
    });
  });
  const sending = sendAll(request, sent);
  await until(() => store.atOnce > 0, { what: "the first are being stored" });
  // While nothing is stored, the gateway reads no more of the body.
  let before = -1;
  await until(
    async () => {
      const isStill = sent.bytes === before;
      before = sent.bytes;
      return isStill;
    },
    { what: "the client is held up", everyMs: 500 },
  );
  expect(sent.bytes).toBeLessThan(READ_AHEAD_MAX);
  expect(store.atOnce).toBeLessThanOrEqual(64);
  store.release();
  await sending;
  expect(await answered).toBe(200);
  expect(sent.bytes).toBeGreaterThan(2 * READ_AHEAD_MAX);
  expect(store.most).toBeLessThanOrEqual(64);
  const lines = text.trimEnd().split("\n");
  expect(JSON.parse(lines.pop() ?? "")).toEqual({ done: true, accepted: COUNT, refused: 0 });
  const idOf = (n: number) => taskIdOfKey(DEFAULT_TENANT, keyOf(n));
  expect(lines.map((line) => JSON.parse(line))).toEqual(
    Array.from({ length: COUNT }, (_, n) => ({ index: n, taskId: idOf(n) })),
  );
  const stored = rig.server.stored(taskRequests).map(({ message }) => `${message.taskId} ${message.to}`);
  const expected = Array.from({ length: COUNT }, (_, n) => `${idOf(n)} ${numberOf(n)}`);
  expect(stored.sort()).toEqual(expected.sort());
});
