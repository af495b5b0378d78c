// Hosts as one process sees them.
import { describe, expect, test } from "vitest";
import type { Bus } from "../../../../libs/bus/bus.ts";
import { type Bucket, hosts } from "../../../../libs/contracts/buckets.ts";
import { hostChanges } from "../../../../libs/contracts/streams.ts";
import { watchHosts } from "../../../../libs/fleet/host-view.ts";
import { aHost } from "../../../kit/fixtures/sessions.ts";
import { createRandom } from "../../../kit/random.ts";
import { createSimClock } from "../../../kit/sim-clock.ts";
import { createMemoryServer } from "../../../simulation/nats/memory-server.ts";

function world() {
  const clock = createSimClock();
  const server = createMemoryServer({ clock, random: createRandom(1) });
  const bus = server.connect("tester");
  return { clock, bus };
}

const save = async <T>(bus: Bus, bucket: Bucket<T>, value: T, revision = 0): Promise<number> =>
  (await bus.kv.update(bucket, value, revision)) ?? -1;

describe("watchHosts", () => {
  test("has the registered hosts at once, and later ones as they arrive", async () => {
    const { clock, bus } = world();
    await save(bus, hosts, aHost("h1"));
    const view = await watchHosts(bus);
    expect(view.all().map(({ hostId: id }) => id)).toEqual(["h1"]);
    const changes: string[] = [];
    view.onChange((host, id) => changes.push(`${id} ${host?.sequence}`));
    await save(bus, hosts, aHost("h2", 5));
    await clock.flush();
    expect(view.get("h2")?.sequence).toBe(5);
    expect(changes).toEqual(["h2 5"]);
  });

  test("shows a published host before its bucket does", async () => {
    const { clock, bus } = world();
    const view = await watchHosts(bus);
    await clock.flush();
    bus.core.publishTransient(hostChanges, aHost("h", 3, { load: 0.5 }));
    await clock.flush();
    expect(view.get("h")?.load).toBe(0.5);
  });

  test("drops an older publication, or one of an earlier epoch, from either source", async () => {
    const { clock, bus } = world();
    const view = await watchHosts(bus);
    await clock.flush();
    const changes: string[] = [];
    view.onChange((host) => changes.push(`${host?.epoch}.${host?.sequence}`));
    const publish = async (epoch: number, sequence: number) => {
      bus.core.publishTransient(hostChanges, aHost("h", sequence, { epoch }));
      await clock.flush();
    };
    await publish(4, 2);
    await publish(4, 1);
    await publish(4, 2);
    await publish(3, 9);
    await publish(5, 1);
    await save(bus, hosts, aHost("h", 7, { epoch: 4 }));
    await clock.flush();
    expect(changes).toEqual(["4.2", "5.1"]);
    expect(view.get("h")).toMatchObject({ epoch: 5, sequence: 1 });
  });

  test("reports and drops a host whose registration is deleted", async () => {
    const { clock, bus } = world();
    const revision = await save(bus, hosts, aHost("h"));
    const view = await watchHosts(bus);
    const gone: string[] = [];
    view.onChange((host, id) => {
      if (host === undefined) gone.push(id);
    });
    await bus.kv.delete(hosts, "h", revision);
    await clock.flush();
    expect([view.all(), gone]).toEqual([[], ["h"]]);
  });

  test("follows nothing after it was stopped", async () => {
    const { clock, bus } = world();
    const view = await watchHosts(bus);
    await view.stop();
    await save(bus, hosts, aHost("h"));
    bus.core.publishTransient(hostChanges, aHost("h2"));
    await clock.flush();
    expect(view.all()).toEqual([]);
  });
});
