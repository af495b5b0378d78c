// Writing one record: the newest value wins, and a fence ends it.
import { describe, expect, it } from "vitest";
import { RecordWriter, type RecordWriterOptions } from "../../../../libs/bus/record-writer.ts";
import { hosts } from "../../../../libs/contracts/buckets.ts";
import type { HostRecord } from "../../../../libs/contracts/fleet/host.ts";
import { sleep } from "../../../../libs/runtime/clock.ts";
import { silentLog } from "../../../../libs/runtime/log.ts";
import { aHost } from "../../../kit/fixtures/sessions.ts";
import { world } from "../../../kit/worlds/memory-world.ts";

function scene(options: Partial<RecordWriterOptions<HostRecord>> = {}) {
  const { clock, connect, outcome } = world();
  const bus = connect("host");
  const writer = new RecordWriter<HostRecord>({
    ...{ bus, clock, log: silentLog, bucket: hosts, key: "h", what: "a host" },
    ...options,
  });
  const stored = async () => (await outcome(bus.kv.get(hosts, "h")))?.value.sequence;
  return { bus, clock, outcome, stored, writer };
}

describe("RecordWriter", () => {
  it("writes the newest of several values, and skips those in between", async () => {
    const { outcome, stored, writer } = scene();
    for (const sequence of [1, 2, 3, 4]) writer.write(() => aHost("h", sequence));
    await outcome(writer.flush());
    expect([await stored(), writer.count]).toEqual([4, 2]);
  });

  it("writes a value that arrives as the last write ends", async () => {
    const { outcome, stored, writer } = scene();
    writer.write(() => aHost("h", 1));
    void writer.flush().then(() => writer.write(() => aHost("h", 2)));
    await outcome(writer.flush());
    await outcome(writer.flush());
    expect(await stored()).toBe(2);
  });

  it("reads the record after a conflict, and stops when another process owns it", async () => {
    const { bus, outcome, stored, writer } = scene({ mayWrite: (host) => (host?.sequence ?? 0) < 9 });
    writer.write(() => aHost("h", 1));
    await outcome(writer.flush());
    const revision = (await outcome(bus.kv.get(hosts, "h")))?.revision ?? 0;
    await outcome(bus.kv.update(hosts, aHost("h", 9), revision));
    writer.write(() => aHost("h", 2));
    await outcome(writer.flush());
    expect(await stored()).toBe(9);
  });

  it("asks again whether it may write after a pause, so that it restores no deleted record", async () => {
    let asked = 0;
    const { clock, outcome, stored, writer } = scene({
      mayWrite: async () => {
        asked += 1;
        if (asked > 1) return false;
        await sleep(clock, 6000);
        return true;
      },
    });
    writer.write(() => aHost("h", 1));
    await outcome(writer.flush());
    expect([asked, await stored()]).toEqual([2, undefined]);
  });

  it("waits between conflicts that repeat, as while another write is in flight", async () => {
    const { bus, clock, writer } = scene();
    let writes = 0;
    bus.kv.update = async () => {
      writes += 1;
      return undefined;
    };
    writer.write(() => aHost("h", 1));
    await clock.advance(1000);
    expect(writes).toBeGreaterThan(5);
    expect(writes).toBeLessThan(50);
  });

  it("retries after a failure for as long as it may", async () => {
    const { clock, stored, writer } = scene({ mayRetry: (failingForMs) => failingForMs < 1000 });
    let failures = 0;
    writer.write(() => {
      failures += 1;
      throw new Error("not now");
    });
    await clock.advance(5000);
    expect([failures, await stored()]).toEqual([3, undefined]);
  });
});
