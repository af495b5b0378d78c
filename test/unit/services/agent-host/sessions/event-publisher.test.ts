// Events and log lines that a host publishes.
import { describe, expect, test } from "vitest";
import { sessionEvents, sessionLogs } from "../../../../../libs/contracts/streams.ts";
import { silentLog } from "../../../../../libs/runtime/log.ts";
import { EventPublisher } from "../../../../../services/agent-host/sessions/event-publisher.ts";
import { anAssignment } from "../../../../kit/fakes/scripted-processes.ts";
import { world } from "../../../../kit/worlds/memory-world.ts";

function publisherScene() {
  const scene = world();
  const bus = scene.connect("host");
  const publisher = new EventPublisher({
    bus,
    clock: scene.clock,
    log: silentLog,
    hostId: "h",
    epoch: () => 7,
  });
  const published = () => scene.server.stored(sessionEvents).map(({ message }) => message);
  return { ...scene, bus, publisher, published };
}

describe("EventPublisher", () => {
  const assignment = { ...anAssignment("a"), warmth: "warm" as const };

  test("adds host, epoch and attempt to an event", async () => {
    const { publisher, outcome, published } = publisherScene();
    publisher.publish(assignment, { type: "user_left" });
    await outcome(publisher.flush());
    expect(published()).toMatchObject([
      { type: "user_left", tenant: "t", sessionId: "a", attempt: 1, host: "h", epoch: 7 },
    ]);
  });

  test("retries an event until it is stored", async () => {
    const { publisher, outcome, published, server, clock } = publisherScene();
    server.setFaults({ refuse: 1 });
    publisher.publishLost(assignment, "the agent process died");
    await clock.advance(30_000);
    expect(published()).toEqual([]);
    server.calm();
    await outcome(publisher.flush());
    expect(published()).toMatchObject([{ type: "agent_lost", reason: "the agent process died" }]);
  });

  test("gives up after two minutes, because the janitor knows by then", async () => {
    const { publisher, published, server, clock } = publisherScene();
    server.setFaults({ refuse: 1 });
    publisher.publishLost(assignment, "the agent process died");
    await clock.advance(121_000);
    server.calm();
    await clock.advance(10_000);
    expect(published()).toEqual([]);
  });

  test("collects log lines into one message", async () => {
    const { publisher, clock, server } = publisherScene();
    const line = (message: string) => ({ at: "now", level: "info", message });
    for (const message of ["one", "two", "three"])
      publisher.log({ tenant: "t", sessionId: "a" }, line(message));
    await clock.advance(200);
    const batches = server
      .stored(sessionLogs)
      .map(({ message }) => message.lines.map((each) => each.message));
    expect(batches).toEqual([["one", "two", "three"]]);
  });
});
