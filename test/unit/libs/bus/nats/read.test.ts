// Tests reads of a stream whose replicas lag behind the leader, which a real cluster shows only by chance.
import { describe, expect, test } from "vitest";
import type { JetStream } from "../../../../../libs/bus/nats/connection.ts";
import { readStream } from "../../../../../libs/bus/nats/read.ts";
import { sessionLogs } from "../../../../../libs/contracts/streams.ts";

const message = (seq: number) => ({ seq, subject: "log.t.s", data: new TextEncoder().encode(`${seq}`) });

/** A stream whose leader stores messages up to `newest`. The replica has those of one element more at each pass. */
function lagging(newest: number, replica: readonly (readonly number[])[]) {
  let passes = 0;
  const jetstream = {
    link: { ask: (_doing: string, work: () => unknown) => work() },
    manager: { streams: { getMessage: async () => message(newest) } },
    js: {
      consumers: {
        get: async () => {
          const stored = (replica[passes] ?? replica.at(-1) ?? []).map(message);
          passes += 1;
          return {
            info: async () => ({ num_pending: stored.length }),
            fetch: async () => stored,
            delete: async () => true,
          };
        },
      },
    },
  } as unknown as JetStream;
  return { jetstream, passes: () => passes };
}

const read = (jetstream: JetStream, more: { limit: number; from?: number; to?: number }) =>
  readStream(
    jetstream,
    sessionLogs,
    { subject: "log.t.s", order: "newest-first", ...more },
    ({ sequence }) => sequence as never,
  );

describe("readStream, newest first", () => {
  test("repeats the pass until the replica has the leader's newest message", async () => {
    const { jetstream, passes } = lagging(3, [[], [1], [1, 2, 3]]);
    const found = await read(jetstream, { limit: 2 });
    expect(found.map(({ sequence }) => sequence)).toEqual([3, 2]);
    expect(passes()).toBe(3);
  });

  test("needs no pass if the range begins after the newest message", async () => {
    const { jetstream, passes } = lagging(3, [[]]);
    expect(await read(jetstream, { limit: 2, from: 7 })).toEqual([]);
    expect(passes()).toBe(0);
  });

  test("returns nothing for a limit of 0", async () => {
    expect(await read(lagging(3, [[1, 2, 3]]).jetstream, { limit: 0 })).toEqual([]);
  });

  test("leaves out what comes after the range", async () => {
    const { jetstream } = lagging(3, [[1, 2, 3]]);
    const found = await read(jetstream, { limit: 5, to: 2 });
    expect(found.map(({ sequence }) => sequence)).toEqual([2, 1]);
  });
});
