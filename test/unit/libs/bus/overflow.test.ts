// What is said while the stream has no leader is stored in its relief, and handed on in the end.
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

describe("while the stream has no leader and its relief has one", () => {
  test("a message is stored in the relief after a while, and in the stream when that leads again", async () => {
    const { clock, server, connect, outcome } = world({}, 1, 3);
    const bus = connect("bus");
    await outcome(forward(bus, sessionEvents));
    server.loseLeaders(true);
    const saying = bus.streams.publish(sessionEvents, anEvent("s"));
    await clock.advance(3000);
    expect(await outcome(saying)).toEqual({ duplicate: false });
    expect(server.stored(sessionEvents)).toEqual([]);
    expect(server.stored(sessionOverflow).map(({ subject }) => subject)).toEqual([
      "overflow.session.t.s.requested",
    ]);
    server.lead();
    await clock.advance(MINUTE_MS);
    expect(server.stored(sessionEvents).map(({ subject }) => subject)).toEqual(["session.t.s.requested"]);
    expect(server.backlog(sessionOverflow, "overflow")).toEqual({ pending: 0, unacked: 0 });
  });

  test("what the relief holds is handed on however long the stream stays away", async () => {
    const { clock, server, connect, outcome } = world({}, 2, 3);
    const bus = connect("bus");
    await outcome(forward(bus, sessionEvents));
    server.loseLeaders(true);
    const saying = bus.streams.publish(sessionEvents, anEvent("s"));
    await clock.advance(60 * MINUTE_MS);
    expect(await outcome(saying)).toEqual({ duplicate: false });
    server.lead();
    await clock.advance(MINUTE_MS);
    expect(server.stored(sessionEvents)).toHaveLength(1);
    expect(server.stored(deadLetters)).toEqual([]);
  });

  test("a message that both took is in the stream once", async () => {
    const { clock, server, connect, outcome } = world({}, 3, 3);
    const [bus, other] = [connect("bus"), connect("other")];
    await outcome(bus.streams.publish(sessionEvents, anEvent("s")));
    await outcome(other.streams.publish(sessionOverflow, anEvent("s")));
    await outcome(forward(bus, sessionEvents));
    await clock.advance(MINUTE_MS);
    expect(server.stored(sessionEvents)).toHaveLength(1);
    expect(server.backlog(sessionOverflow, "overflow")).toEqual({ pending: 0, unacked: 0 });
  });

  test("a message for the stream alone waits for it, and fails when that takes too long", async () => {
    const { clock, server, connect, outcome } = world({}, 4, 3);
    const bus = connect("bus");
    server.loseLeaders(true);
    const saying = bus.streams
      .publish(sessionEventsWithoutOverflow, anEvent("s"))
      .catch((error) => error.code);
    await clock.advance(MINUTE_MS);
    expect(await outcome(saying)).toBe("storage_unavailable");
    expect(server.stored(sessionOverflow)).toEqual([]);
  });
});

test("while the stream leads, nothing goes to the relief", async () => {
  const { server, connect, outcome } = world({}, 5, 3);
  const bus = connect("bus");
  for (const id of ["a", "b", "c"]) await outcome(bus.streams.publish(sessionEvents, anEvent(id)));
  expect(server.stored(sessionEvents)).toHaveLength(3);
  expect(server.stored(sessionOverflow)).toEqual([]);
});
