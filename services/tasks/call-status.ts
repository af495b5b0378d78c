// The state of a session's telephone call, by what the providers service stored of it.
import type { Bus } from "../../libs/bus/bus.ts";
import { launches } from "../../libs/contracts/buckets.ts";
import type { CallProgress, LaunchRecord, ProviderName } from "../../libs/contracts/providers/provider.ts";
import { reachOf } from "../../libs/domain/call/call-rank.ts";
import { isTelephone } from "../../libs/domain/task/outcome.ts";

export interface CallState {
  /** Of several launches the one that went furthest; undefined when none has dialled so far. */
  readonly call: CallProgress | undefined;
  /** There were launches, and nothing more comes of any of them: without a call nobody was ever dialled. */
  readonly isOver: boolean;
}

/** The call of a session, over all launches that it had, read from the store as it stands. */
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

/** A launch that was asked for and of which nothing came back may have dialled; one that is over without a call hasn't. */
export function callStatusOfLaunch(launch: LaunchRecord): CallProgress | undefined {
  if (launch.call !== undefined) return launch.call;
  if (!isTelephone(launch.provider) || launch.state === "over") return undefined;
  return { status: launch.state === "unknown" ? "unknown" : "dialing" };
}
