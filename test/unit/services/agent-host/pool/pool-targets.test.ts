// The pool settings that a host stores for its files, beside those of an operator.
import { expect, test } from "vitest";
import { pools } from "../../../../../libs/contracts/buckets.ts";
import { silentLog } from "../../../../../libs/runtime/log.ts";
import { PoolTargets } from "../../../../../services/agent-host/pool/pool-targets.ts";
import { world } from "../../../../kit/worlds/memory-world.ts";

const size = { min: 1, hot: 0, max: 4, perProcess: 1 };

test("stores a changed pool of a file, unless it is a canary's, and keeps the operator's canary and size", async () => {
  const { connect, outcome, server } = world();
  const bus = connect("host");
  const targets = new PoolTargets({ bus, log: silentLog, hostId: "h", pools: new Map(), defaults: size });
  const stored = () => server.entries(pools).map(({ value }) => value);
  const set = async (change: object) => {
    const entry = await bus.kv.get(pools, "echo");
    if (entry !== undefined) await bus.kv.update(pools, { ...entry.value, ...change }, entry.revision);
  };

  await outcome(targets.storeExported("echo", {}));
  expect(stored()).toEqual([{ ...size, profile: "echo", source: "file" }]);
  const canary = { version: "v2", share: 0.1 };
  await outcome(set({ canary }));
  await outcome(targets.storeExported("echo", { min: 2 }));
  expect(stored()).toEqual([{ ...size, min: 2, profile: "echo", source: "file", canary }]);
  await outcome(targets.storeExported("echo", { min: 4 }, "v2"));
  expect(stored()).toMatchObject([{ min: 2 }]);
  await outcome(targets.storeExported("echo", { min: 2 }, "v1"));
  await outcome(set({ min: 3, source: "api" }));
  await outcome(targets.storeExported("echo", { min: 2 }));
  expect(stored()).toEqual([{ ...size, min: 3, profile: "echo", source: "api", canary }]);
});
