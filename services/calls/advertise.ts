// The mark by which a janitor knows that calls are recorded here, and waits with its purge until they are.
import { type Bus, getOwn } from "../../libs/bus/bus.ts";
import { callRecorders } from "../../libs/contracts/buckets.ts";
import { CALL_RECORDER_KEY } from "../../libs/contracts/calls/call.ts";
import { type Clock, isoNow } from "../../libs/runtime/clock.ts";

/** Several recorders overwrite each other's; that one is there is all that counts. */
export async function advertiseCallRecorder(bus: Bus, clock: Clock, by: string): Promise<void> {
  const { revision } = await getOwn(bus, callRecorders, CALL_RECORDER_KEY);
  await bus.kv.update(callRecorders, { v: 1 as const, at: isoNow(clock), by }, revision);
}
