// Roll-ups as they are kept in their bucket: behind for a moment, and never less than they were.
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

test("a session that ends while its minute is written is in the next writing", async () => {
  const { bus, outcome, stored } = scene();
  const kept = new RollupWriter(bus);
  const records = [ended("one")];
  kept.note(ended("one"));
  const writing = kept.write(() => [...records]);
  records.push(ended("two"));
  kept.note(ended("two"));
  await outcome(writing);
  expect(await stored()).toEqual([1]);
  expect(kept.has(ended("two"))).toBe(false);
  await outcome(kept.write(() => records));
  expect(await stored()).toEqual([2]);
  expect(kept.has(ended("two"))).toBe(true);
});

test("a janitor that finds half of a minute's records purged leaves that minute's roll-up as it is", async () => {
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

test("a roll-up that others write over and over is not taken for written, and its records are kept", async () => {
  const { bus, outcome, stored } = scene();
  const contended = vi.spyOn(bus.kv, "update").mockResolvedValue(undefined);
  const kept = new RollupWriter(bus);
  kept.note(ended("one"));
  const write = () => outcome(kept.write(() => [ended("one")]));
  await expect(write()).rejects.toThrow(/was written by others 5 times/);
  expect(kept.has(ended("one"))).toBe(false);
  contended.mockRestore();
  await write();
  expect(await stored()).toEqual([1]);
  expect(kept.has(ended("one"))).toBe(true);
});
