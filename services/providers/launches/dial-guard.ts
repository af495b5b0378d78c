// Whether a session's telephone call may be made now: once, and only while the session still wants it.
import type { Bus } from "../../../libs/bus/bus.ts";
import { launches, sessions } from "../../../libs/contracts/buckets.ts";
import { type AttemptRef, attemptKey, sessionKey } from "../../../libs/contracts/ids.ts";
import type { LaunchRecord } from "../../../libs/contracts/providers/provider.ts";

/** `moved on`: nobody wants it any more. `made before`: an earlier attempt may have had it made. */
export type CanDial = "yes" | "moved on" | "made before";

/**
 * Asked after the intent was saved, and reads what is stored and not what a view remembers. Of two instances with
 * an attempt each, the one whose attempt is older saved its intent before it reads the record: either it reads that
 * the session has moved on, or the other, whose attempt came after, reads its intent.
 *
 * @throws GreenroomError storage_unavailable
 */
export async function canDial(bus: Bus, ref: AttemptRef): Promise<CanDial> {
  const record = (await bus.kv.get(sessions, sessionKey(ref)))?.value;
  if (record === undefined || record.state === "ended") return "moved on";
  // A call by SIP is the session's and bears the first attempt's number, whichever agent waits for it.
  if (record.provider === "sip") return "yes";
  if (record.attempt !== ref.attempt) return "moved on";
  for (let earlier = ref.attempt - 1; earlier > 0; earlier--) {
    const launch = (await bus.kv.get(launches, attemptKey({ ...ref, attempt: earlier })))?.value;
    if (launch !== undefined && mayHaveDialed(launch)) return "made before";
  }
  return "yes";
}

/** What the provider refused is over and has no call; of all else nobody can say that it wasn't made. */
const mayHaveDialed = ({ state, call, externalId }: LaunchRecord): boolean =>
  state !== "over" || call !== undefined || externalId !== undefined;
