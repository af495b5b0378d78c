// Guards the phone call of a session: it is made once, and only while the session needs it.
import type { Bus } from "../../../libs/bus/bus.ts";
import { launches, sessions } from "../../../libs/contracts/buckets.ts";
import { type AttemptRef, attemptKey, sessionKey } from "../../../libs/contracts/ids.ts";
import type { LaunchRecord } from "../../../libs/contracts/providers/provider.ts";

/** `moved on`: the session no longer needs the call. `made before`: an earlier attempt may have made it. */
export type CanDial = "yes" | "moved on" | "made before";

/**
 * Call this after the intent was saved. It reads the store, since a view may be behind.
 *
 * Suppose two instances have an attempt each. The instance with the earlier attempt saves its intent before it reads
 * the session. Either it reads that the session has moved on, or the other instance reads its intent.
 *
 * @throws GreenroomError storage_unavailable
 */
export async function canDial(bus: Bus, ref: AttemptRef): Promise<CanDial> {
  const record = (await bus.kv.get(sessions, sessionKey(ref)))?.value;
  if (record === undefined || record.state === "ended") return "moved on";
  // A SIP call belongs to the session, and its launch always has the first attempt's number.
  if (record.provider === "sip") return "yes";
  if (record.attempt !== ref.attempt) return "moved on";
  for (let earlier = ref.attempt - 1; earlier > 0; earlier--) {
    const launch = (await bus.kv.get(launches, attemptKey({ ...ref, attempt: earlier })))?.value;
    if (launch !== undefined && mayHaveDialed(launch)) return "made before";
  }
  return "yes";
}

/** A launch that the provider refused is over and has no call. Any other launch may have dialed. */
const mayHaveDialed = ({ state, call, externalId }: LaunchRecord): boolean =>
  state !== "over" || call !== undefined || externalId !== undefined;
