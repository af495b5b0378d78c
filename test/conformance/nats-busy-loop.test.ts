// Requests of a process whose event loop is busy, to a host in another thread.
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Bus } from "../../libs/bus/bus.ts";
import { pingCommand } from "../../libs/contracts/streams.ts";
import { borrowNats } from "../kit/servers/shared-servers.ts";
import type { TestNats } from "../kit/servers/test-nats.ts";
import { connectTo } from "./buses.ts";

let nats: TestNats;
let bus: Bus;
beforeAll(async () => {
  nats = await borrowNats(1);
  bus = await connectTo(nats.url, "tester");
});
afterAll(async () => {
  await bus?.close();
  await nats?.stop();
});

/** Answers pings, and signals each one after its answer was sent. */
const HOST = `
const { parentPort, workerData } = require("node:worker_threads");
const { connect } = require("nats");
(async () => {
  const connection = await connect({ servers: workerData.url });
  connection.subscribe(workerData.subject, {
    callback: async (_error, message) => {
      message.respond(JSON.stringify({ hostId: "busy", epoch: 7, sequence: 1 }));
      await connection.flush();
      Atomics.store(workerData.answered, 0, 1);
    },
  });
  await connection.flush();
  parentPort.postMessage("serving");
})();
`;

test("accepts an answer that arrived in time, although the time-out fires before it is read", async () => {
  const answered = new Int32Array(new SharedArrayBuffer(4));
  const subject = pingCommand.subjectOf("busy");
  const host = new Worker(HOST, { eval: true, workerData: { url: nats.url, subject, answered } });
  try {
    await once(host, "message");
    const answer = bus.core.request(pingCommand, "busy", {});
    const sentAt = performance.now();
    // The request is written in one of the next turns of the event loop.
    while (Atomics.load(answered, 0) === 0 && performance.now() - sentAt < pingCommand.timeoutMs / 2) {
      const turnAt = performance.now();
      await new Promise((resolve) => setImmediate(resolve));
      while (performance.now() - turnAt < 2);
    }
    while (performance.now() - sentAt < 1.5 * pingCommand.timeoutMs);
    expect(await answer).toMatchObject({ epoch: 7 });
  } finally {
    await host.terminate();
  }
});
