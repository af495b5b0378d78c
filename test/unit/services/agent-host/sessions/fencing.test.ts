// Regular checks of a host's sessions against their records.
import { describe, expect, test } from "vitest";
import { silentLog } from "../../../../../libs/runtime/log.ts";
import { watchFencing } from "../../../../../services/agent-host/sessions/fencing.ts";
import { createSimClock } from "../../../../kit/sim-clock.ts";

describe("watchFencing", () => {
  const watchScene = () => {
    const clock = createSimClock();
    const own = clock.forProcess();
    const world = { connected: true, fails: false, checks: 0, atMs: [] as number[] };
    const stop = watchFencing(
      { bus: { isConnected: () => world.connected }, clock: own, log: silentLog },
      async () => {
        world.checks += 1;
        if (world.fails) throw new Error("NATS is away");
        world.atMs.push(clock.monotonic());
      },
    );
    return { clock, own, world, stop };
  };

  test("checks the records regularly", async () => {
    const { clock, world, stop } = watchScene();
    await clock.advance(20_100);
    expect(world.checks).toBe(10);
    stop();
    await clock.advance(20_000);
    expect(world.checks).toBe(10);
  });

  test("checks at once after a pause of the process, and retries until it succeeds", async () => {
    const { clock, own, world } = watchScene();
    await clock.advance(2100);
    own.pause();
    await clock.advance(1850);
    world.fails = true;
    own.resume();
    await clock.advance(700);
    world.fails = false;
    await clock.advance(300);
    const [, looked = 0] = world.atMs;
    expect(looked).toBeGreaterThan(4600);
    expect(looked).toBeLessThan(5000);
  });

  test("checks at once when its connection is back", async () => {
    const { clock, world } = watchScene();
    await clock.advance(2100);
    world.connected = false;
    await clock.advance(500);
    world.connected = true;
    await clock.advance(300);
    expect(world.atMs).toHaveLength(2);
  });
});
