// Rollups in their bucket: late for a moment, but never lower than they were.
import { expect, test, vi } from "vitest";
import { rollups } from "../../../../libs/contracts/buckets.ts";
import type { SessionRecord } from "../../../../libs/contracts/sessions/session.ts";
import { RollupWriter } from "../../../../services/janitor/rollup-writer.ts";
import { aSession } from "../../../kit/fixtures/sessions.ts";
import { world } from "../../../kit/worlds/memory-world.ts";

const ended = (id: string): SessionRecord =>
  aSession(id, {
    state: "ended",
    endedReason: "completed",
    history: [
      { state: "requested", at: "2026-01-31T12:34:01.000Z", attempt: 1 },
      { state: "ended", at: "2026-01-31T12:34:56.000Z", attempt: 1 },
    ],
  });

function scene() {
  const { connect, outcome } = world();
  const bus = connect("janitor");
  const stored = async () => (await outcome(bus.kv.entries(rollups))).map(({ value }) => value.sessions);
  return { bus, outcome, stored };
}

test("includes a session that ends during a write in the next write", async () => {
  const { bus, outcome, stored } = scene();
  const writer = new RollupWriter(bus);
  const records = [ended("one")];
  writer.note(ended("one"));
  const writing = writer.write(() => [...records]);
  records.push(ended("two"));
  writer.note(ended("two"));
  await outcome(writing);
  expect(await stored()).toEqual([1]);
  expect(writer.has(ended("two"))).toBe(false);
  await outcome(writer.write(() => records));
  expect(await stored()).toEqual([2]);
  expect(writer.has(ended("two"))).toBe(true);
});

test("keeps a rollup when half of its records are already purged", async () => {
  const { bus, outcome, stored } = scene();
  const before = new RollupWriter(bus);
  const records = [ended("one"), ended("two")];
  for (const record of records) before.note(record);
  await outcome(before.write(() => records));
  const restarted = new RollupWriter(bus);
  restarted.note(ended("two"));
  await outcome(restarted.write(() => [ended("two")]));
  expect(await stored()).toEqual([2]);
  expect(restarted.has(ended("two"))).toBe(true);
});

test("keeps the records when others write the rollup over and over", async () => {
  const { bus, outcome, stored } = scene();
  const contended = vi.spyOn(bus.kv, "update").mockResolvedValue(undefined);
  const writer = new RollupWriter(bus);
  writer.note(ended("one"));
  const write = () => outcome(writer.write(() => [ended("one")]));
  await expect(write()).rejects.toThrow(/other writes were faster 5 times/);
  expect(writer.has(ended("one"))).toBe(false);
  contended.mockRestore();
  await write();
  expect(await stored()).toEqual([1]);
  expect(writer.has(ended("one"))).toBe(true);
});
