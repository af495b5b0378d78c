// What a host says: its own record in the bucket and over the air, and what its sessions did.
import { describe, expect, test } from "vitest";
import { hosts } from "../../../../../libs/contracts/buckets.ts";
import type { HostRecord } from "../../../../../libs/contracts/fleet/host.ts";
import { hostChanges, sessionEvents, sessionLogs } from "../../../../../libs/contracts/streams.ts";
import { silentLog } from "../../../../../libs/runtime/log.ts";
import { registerHost } from "../../../../../services/agent-host/host-registration.ts";
import { EventPublisher } from "../../../../../services/agent-host/sessions/event-publisher.ts";
import { anAssignment } from "../../../../kit/fakes/scripted-processes.ts";
import { aHost } from "../../../../kit/fixtures/sessions.ts";
import { world } from "../../../../kit/worlds/memory-world.ts";

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
  const heard: HostRecord[] = [];
  void scene.connect("ear").core.subscribe(hostChanges, (host) => void heard.push(host));
  const stored = () => scene.server.entries(hosts);
  return { ...scene, start, state, supplanted, heard, stored };
}

describe("a host's record", () => {
  test("is told at once and stored soon, with the revision of its registration as its epoch", async () => {
    const { start, state, stored, heard, clock } = hostScene();
    const announcer = await start();
    expect(stored()[0]?.revision).toBe(announcer.epoch);
    state.load = 0.5;
    announcer.publish();
    announcer.publish();
    await clock.advance(1);
    expect(heard.at(-1)).toMatchObject({ load: 0.5, epoch: announcer.epoch });
    expect(heard.filter(({ load }) => load === 0.5)).toHaveLength(1);
    await clock.advance(600);
    expect(stored()[0]?.value).toMatchObject({ load: 0.5, epoch: announcer.epoch });
  });

  test("has a later epoch in the host's next life, and the former one notices and ends", async () => {
    const { start, supplanted, clock } = hostScene();
    const first = await start("h", "first");
    const second = await start("h", "second");
    expect(second.epoch).toBeGreaterThan(first.epoch);
    await clock.advance(3000);
    expect(supplanted).not.toEqual([]);
    expect(new Set(supplanted)).toEqual(new Set(["another process has registered as host h"]));
  });

  test("that was removed while its host hung is put back in its old life", async () => {
    const { start, stored, connect, outcome, clock } = hostScene();
    const announcer = await start();
    await clock.advance(600);
    const janitor = connect("janitor");
    await outcome(janitor.kv.delete(hosts, "h", stored()[0]?.revision ?? 0));
    expect(stored()).toEqual([]);
    await clock.advance(5000);
    expect(stored()[0]?.value).toMatchObject({ hostId: "h", epoch: announcer.epoch });
  });

  test("goes with its host", async () => {
    const { start, stored, outcome, clock } = hostScene();
    const announcer = await start();
    await clock.advance(600);
    await outcome(announcer.stop());
    await clock.advance(5000);
    expect(stored()).toEqual([]);
  });
});

function reportScene() {
  const scene = world();
  const bus = scene.connect("host");
  const reports = new EventPublisher({
    bus,
    clock: scene.clock,
    log: silentLog,
    hostId: "h",
    epoch: () => 7,
  });
  const said = () => scene.server.stored(sessionEvents).map(({ message }) => message);
  return { ...scene, bus, reports, said };
}

describe("a report", () => {
  const assignment = { ...anAssignment("a"), warmth: "warm" as const };

  test("says who speaks: host, epoch and attempt", async () => {
    const { reports, outcome, said } = reportScene();
    reports.publish(assignment, { type: "user_left" });
    await outcome(reports.flush());
    expect(said()).toMatchObject([
      { type: "user_left", tenant: "t", sessionId: "a", attempt: 1, host: "h", epoch: 7 },
    ]);
  });

  test("that can't be stored is said again until it is", async () => {
    const { reports, outcome, said, server, clock } = reportScene();
    server.setFaults({ refuse: 1 });
    reports.publishLost(assignment, "the stage died");
    await clock.advance(30_000);
    expect(said()).toEqual([]);
    server.calm();
    await outcome(reports.flush());
    expect(said()).toMatchObject([{ type: "agent_lost", reason: "the stage died" }]);
  });

  test("is given up after two minutes, since the janitor knows by then", async () => {
    const { reports, said, server, clock } = reportScene();
    server.setFaults({ refuse: 1 });
    reports.publishLost(assignment, "the stage died");
    await clock.advance(121_000);
    server.calm();
    await clock.advance(10_000);
    expect(said()).toEqual([]);
  });

  test("of log lines waits for more of them, and one message has them all", async () => {
    const { reports, clock, server } = reportScene();
    const line = (message: string) => ({ at: "now", level: "info", message });
    for (const message of ["one", "two", "three"])
      reports.log({ tenant: "t", sessionId: "a" }, line(message));
    await clock.advance(200);
    const batches = server
      .stored(sessionLogs)
      .map(({ message }) => message.lines.map((each) => each.message));
    expect(batches).toEqual([["one", "two", "three"]]);
  });
});
