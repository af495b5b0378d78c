// The state of a session's phone call, as the providers service has stored it.
import type { Bus } from "../../libs/bus/bus.ts";
import { launches } from "../../libs/contracts/buckets.ts";
import type { CallProgress, LaunchRecord, ProviderName } from "../../libs/contracts/providers/provider.ts";
import { reachOf } from "../../libs/domain/call/call-rank.ts";
import { isTelephone } from "../../libs/domain/task/outcome.ts";

export interface CallState {
  /** The furthest progress of all launches; undefined while none has dialed. */
  readonly call: CallProgress | undefined;
  /** All launches have ended. Without a call, none of them has dialed. */
  readonly isOver: boolean;
}

/** Reads the call of a session from all its launches. */
export async function callStatusOf(
  bus: Bus,
  tenant: string,
  sessionId: string,
  provider: ProviderName,
): Promise<CallState> {
  if (!isTelephone(provider)) return { call: undefined, isOver: false };
  const found = await bus.kv.entries(launches, `${tenant}.${sessionId}.*`);
  let best: CallProgress | undefined;
  for (const { value } of found) {
    const call = callStatusOfLaunch(value);
    if (call === undefined) continue;
    if (best === undefined || reachOf(call) > reachOf(best)) best = call;
  }
  const isOver = found.length > 0 && found.every(({ value }) => ["over", "unknown"].includes(value.state));
  return { call: best, isOver };
}

/** A launch without an answer may have dialed. A launch that is over without a call has not. */
export function callStatusOfLaunch(launch: LaunchRecord): CallProgress | undefined {
  if (launch.call !== undefined) return launch.call;
  if (!isTelephone(launch.provider) || launch.state === "over") return undefined;
  return { status: launch.state === "unknown" ? "unknown" : "dialing" };
}
