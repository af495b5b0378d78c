// The heater: how many agents it heats, and that a failure only makes it pause.
import { expect, test } from "vitest";
import { silentLog } from "../../../../../libs/runtime/log.ts";
import type { Slot } from "../../../../../services/agent-host/pool/slots.ts";
import { Standby } from "../../../../../services/agent-host/pool/standby.ts";

/** Slots whose stage notes which of them it was told to heat. */
function makeSlots(count: number) {
  const told: string[] = [];
  const stage = { isUnhealthy: false, link: { send: ({ slot }: { slot: string }) => told.push(slot) } };
  const slots = Array.from(
    { length: count },
    (_, n) =>
      ({
        id: `slot-${n}`,
        state: "warm",
        isConnectingStandby: false,
        hasStandby: false,
        process: stage,
      }) as unknown as Slot,
  );
  return { slots, told };
}

/** A clock with one timer, which fires when the test says so, and shows the time that the test says. */
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
const settle = () => new Promise((resolve) => setImmediate(resolve));

test("an agent that is given out while it is heated doesn't count as heated, so another takes its place", async () => {
  const { slots, told } = makeSlots(2);
  const heater = new Standby({
    ...makeClock(),
    log: silentLog,
    standby: standbyThat(room),
    onChange: () => {},
  });
  heater.connectStandby(slots, 1);
  await settle();
  expect(told).toEqual(["slot-0"]);
  heater.connectStandby(slots, 1);
  await settle();
  expect(told).toEqual(["slot-0"]);
  slots[0]!.state = "busy";
  heater.connectStandby(slots, 1);
  await settle();
  expect(told).toEqual(["slot-0", "slot-1"]);
});

test("after a failure it pauses, and goes on when the pause is over, even if its timer fired early", async () => {
  const { slots, told } = makeSlots(1);
  const { clock, fire } = makeClock();
  let isUp = false;
  const standby = standbyThat((slot) => (isUp ? room(slot) : Promise.reject(new Error("no LiveKit"))));
  const heat = () => heater.connectStandby(slots, 1);
  const heater: Standby = new Standby({ clock, log: silentLog, standby, onChange: heat });
  heat();
  await settle();
  isUp = true;
  heat();
  await settle();
  expect(told).toEqual([]);
  clock.time = 1999.9;
  fire();
  await settle();
  expect(told).toEqual(["slot-0"]);
});
