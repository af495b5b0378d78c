// Standby connections: how many agents are connected, and the pause after a failure.
import { expect, test } from "vitest";
import { silentLog } from "../../../../../libs/runtime/log.ts";
import type { Slot } from "../../../../../services/agent-host/pool/slots.ts";
import { Standby } from "../../../../../services/agent-host/pool/standby.ts";

/** Slots whose process records which of them it connects. */
function makeSlots(count: number) {
  const received: string[] = [];
  const process = { isUnhealthy: false, link: { send: ({ slot }: { slot: string }) => received.push(slot) } };
  const slots = Array.from(
    { length: count },
    (_, n) =>
      ({
        id: `slot-${n}`,
        state: "warm",
        isConnectingStandby: false,
        hasStandby: false,
        process: process,
      }) as unknown as Slot,
  );
  return { slots, received };
}

/** A clock with one timer, which fires on demand, and with a settable time. */
function makeClock() {
  let fire = () => {};
  const clock = {
    time: 0,
    now: () => 0,
    monotonic: () => clock.time,
    after: (_ms: number, call: () => void) => {
      fire = call;
      return () => {
        fire = () => {};
      };
    },
  };
  return { clock, fire: () => fire() };
}

const standbyThat = (make: (slot: string) => Promise<{ room: string; token: string }>) => ({
  make,
  discard: () => {},
});
const room = async (slot: string) => ({ room: `standby-${slot}`, token: "t" });
const allDone = () => new Promise((resolve) => setImmediate(resolve));

test("connects another agent when one is taken while it connects", async () => {
  const { slots, received } = makeSlots(2);
  const standbyPool = new Standby({
    ...makeClock(),
    log: silentLog,
    standby: standbyThat(room),
    onChange: () => {},
  });
  standbyPool.connectStandby(slots, 1);
  await allDone();
  expect(received).toEqual(["slot-0"]);
  standbyPool.connectStandby(slots, 1);
  await allDone();
  expect(received).toEqual(["slot-0"]);
  slots[0]!.state = "busy";
  standbyPool.connectStandby(slots, 1);
  await allDone();
  expect(received).toEqual(["slot-0", "slot-1"]);
});

test("pauses after a failure, and goes on even if its timer fires early", async () => {
  const { slots, received } = makeSlots(1);
  const { clock, fire } = makeClock();
  let isUp = false;
  const standby = standbyThat((slot) => (isUp ? room(slot) : Promise.reject(new Error("no LiveKit"))));
  const connect = () => standbyPool.connectStandby(slots, 1);
  const standbyPool: Standby = new Standby({ clock, log: silentLog, standby, onChange: connect });
  connect();
  await allDone();
  isUp = true;
  connect();
  await allDone();
  expect(received).toEqual([]);
  clock.time = 1999.9;
  fire();
  await allDone();
  expect(received).toEqual(["slot-0"]);
});
