// Events without a leader of their stream: stored in the overflow stream, then forwarded.
import { describe, expect, test } from "vitest";
import { forward } from "../../../../libs/bus/overflow.ts";
import {
  deadLetters,
  sessionEvents,
  sessionEventsWithoutOverflow,
  sessionOverflow,
} from "../../../../libs/contracts/streams.ts";
import { anEvent } from "../../../kit/fixtures/sessions.ts";
import { MINUTE_MS, world } from "../../../kit/worlds/memory-world.ts";

describe("publish without a leader of the stream", () => {
  test("stores a message in the overflow stream after a while, which forwards it when the stream has a leader", async () => {
    const { clock, server, connect, outcome } = world({}, 1, 3);
    const bus = connect("bus");
    await outcome(forward(bus, sessionEvents));
    server.loseLeaders(true);
    const publishing = bus.streams.publish(sessionEvents, anEvent("s"));
    await clock.advance(3000);
    expect(await outcome(publishing)).toEqual({ duplicate: false });
    expect(server.stored(sessionEvents)).toEqual([]);
    expect(server.stored(sessionOverflow).map(({ subject }) => subject)).toEqual([
      "overflow.session.t.s.requested",
    ]);
    server.lead();
    await clock.advance(MINUTE_MS);
    expect(server.stored(sessionEvents).map(({ subject }) => subject)).toEqual(["session.t.s.requested"]);
    expect(server.backlog(sessionOverflow, "overflow")).toEqual({ pending: 0, unacked: 0 });
  });

  test("forwards stored messages however long the stream has no leader", async () => {
    const { clock, server, connect, outcome } = world({}, 2, 3);
    const bus = connect("bus");
    await outcome(forward(bus, sessionEvents));
    server.loseLeaders(true);
    const publishing = bus.streams.publish(sessionEvents, anEvent("s"));
    await clock.advance(60 * MINUTE_MS);
    expect(await outcome(publishing)).toEqual({ duplicate: false });
    server.lead();
    await clock.advance(MINUTE_MS);
    expect(server.stored(sessionEvents)).toHaveLength(1);
    expect(server.stored(deadLetters)).toEqual([]);
  });

  test("stores a message once in the stream when both streams accepted it", async () => {
    const { clock, server, connect, outcome } = world({}, 3, 3);
    const [bus, other] = [connect("bus"), connect("other")];
    await outcome(bus.streams.publish(sessionEvents, anEvent("s")));
    await outcome(other.streams.publish(sessionOverflow, anEvent("s")));
    await outcome(forward(bus, sessionEvents));
    await clock.advance(MINUTE_MS);
    expect(server.stored(sessionEvents)).toHaveLength(1);
    expect(server.backlog(sessionOverflow, "overflow")).toEqual({ pending: 0, unacked: 0 });
  });

  test("waits with a message that may not overflow, and fails when that takes too long", async () => {
    const { clock, server, connect, outcome } = world({}, 4, 3);
    const bus = connect("bus");
    server.loseLeaders(true);
    const publishing = bus.streams
      .publish(sessionEventsWithoutOverflow, anEvent("s"))
      .catch((error) => error.code);
    await clock.advance(MINUTE_MS);
    expect(await outcome(publishing)).toBe("storage_unavailable");
    expect(server.stored(sessionOverflow)).toEqual([]);
  });
});

test("stores nothing in the overflow stream while the stream has a leader", async () => {
  const { server, connect, outcome } = world({}, 5, 3);
  const bus = connect("bus");
  for (const id of ["a", "b", "c"]) await outcome(bus.streams.publish(sessionEvents, anEvent(id)));
  expect(server.stored(sessionEvents)).toHaveLength(3);
  expect(server.stored(sessionOverflow)).toEqual([]);
});
