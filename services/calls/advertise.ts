// The mark by which a janitor knows that calls are recorded here, and waits with its purge until they are.
import { type Bus, getOwn } from "../../libs/bus/bus.ts";
import { callRecording } from "../../libs/contracts/buckets.ts";
import { CALL_RECORDING_KEY } from "../../libs/contracts/calls/call.ts";
import { type Clock, isoNow } from "../../libs/runtime/clock.ts";

/** Several instances overwrite each other's mark; only its presence counts. */
export async function advertiseCallRecording(bus: Bus, clock: Clock, by: string): Promise<void> {
  const { revision } = await getOwn(bus, callRecording, CALL_RECORDING_KEY);
  await bus.kv.update(callRecording, { v: 1 as const, at: isoNow(clock), by }, revision);
}
