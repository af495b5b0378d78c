// Coverage of the large worlds: every kind of start and end occurs.
import { describe, expect, test } from "vitest";
import { seedsFrom } from "../../simulation/assert-seeds.ts";
import { runSeed } from "../../simulation/run.ts";

describe("simulation of large worlds", () => {
  test("covers sessions that become ready, fail over, wait in vain and get lost", async () => {
    const seen = new Set<string>();
    let sessions = 0;
    // The rarest of these ends occur in one world of thirty.
    for (const seed of seedsFrom(1, 240)) {
      const { world } = await runSeed(seed);
      for (const record of world.records()) {
        sessions += 1;
        seen.add(record.endedReason ?? record.state);
        if (record.warm !== undefined) seen.add(record.warm);
        const ready = record.history.filter(({ state }) => state === "ready").length;
        if (ready > 1) seen.add("failed over");
      }
    }
    expect(sessions).toBeGreaterThan(200);
    expect([...seen]).toEqual(
      expect.arrayContaining([
        "completed",
        "no_capacity",
        "agent_lost",
        "agent_error",
        "join_timeout",
        "ready_timeout",
        "expired",
        "max_duration",
        "hot",
        "warm",
        "cold",
        "failed over",
      ]),
    );
  });
});
