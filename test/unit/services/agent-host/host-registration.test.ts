// The registration of a host: stored, published, and replaced after a restart.
import { describe, expect, test } from "vitest";
import { hosts } from "../../../../libs/contracts/buckets.ts";
import type { HostRecord } from "../../../../libs/contracts/fleet/host.ts";
import { hostChanges } from "../../../../libs/contracts/streams.ts";
import { silentLog } from "../../../../libs/runtime/log.ts";
import { registerHost } from "../../../../services/agent-host/host-registration.ts";
import { aHost } from "../../../kit/fixtures/sessions.ts";
import { world } from "../../../kit/worlds/memory-world.ts";

function hostScene() {
  const scene = world();
  const supplanted: string[] = [];
  const state = { load: 0 };
  const start = (id = "h", name = "host") => {
    const bus = scene.connect(name);
    const deps = {
      bus,
      clock: scene.clock,
      log: silentLog,
      onSupplanted: (reason: string) => void supplanted.push(reason),
    };
    return scene.outcome(registerHost(deps, id, () => ({ ...aHost(id), load: state.load })));
  };
  const received: HostRecord[] = [];
  void scene.connect("ear").core.subscribe(hostChanges, (host) => void received.push(host));
  const stored = () => scene.server.entries(hosts);
  return { ...scene, start, state, supplanted, received, stored };
}

describe("registerHost", () => {
  test("publishes the host at once and stores it soon, with the revision of its registration as its epoch", async () => {
    const { start, state, stored, received, clock } = hostScene();
    const registration = await start();
    expect(stored()[0]?.revision).toBe(registration.epoch);
    state.load = 0.5;
    registration.publish();
    registration.publish();
    await clock.advance(1);
    expect(received.at(-1)).toMatchObject({ load: 0.5, epoch: registration.epoch });
    expect(received.filter(({ load }) => load === 0.5)).toHaveLength(1);
    await clock.advance(600);
    expect(stored()[0]?.value).toMatchObject({ load: 0.5, epoch: registration.epoch });
  });

  test("gets a later epoch after a restart, and the previous process notices and ends", async () => {
    const { start, supplanted, clock } = hostScene();
    const first = await start("h", "first");
    const second = await start("h", "second");
    expect(second.epoch).toBeGreaterThan(first.epoch);
    await clock.advance(3000);
    expect(supplanted).not.toEqual([]);
    expect(new Set(supplanted)).toEqual(new Set(["another process has registered as host h"]));
  });

  test("restores a registration that was deleted while the host hung, with its old epoch", async () => {
    const { start, stored, connect, outcome, clock } = hostScene();
    const registration = await start();
    await clock.advance(600);
    const janitor = connect("janitor");
    await outcome(janitor.kv.delete(hosts, "h", stored()[0]?.revision ?? 0));
    expect(stored()).toEqual([]);
    await clock.advance(5000);
    expect(stored()[0]?.value).toMatchObject({ hostId: "h", epoch: registration.epoch });
  });

  test("deletes the registration when the host stops", async () => {
    const { start, stored, outcome, clock } = hostScene();
    const registration = await start();
    await clock.advance(600);
    await outcome(registration.stop());
    await clock.advance(5000);
    expect(stored()).toEqual([]);
  });
});
