// Derives task events from the stored sessions and launches.
import type { Bus, Stop } from "../../libs/bus/bus.ts";
import { launches, sessions } from "../../libs/contracts/buckets.ts";
import type { LaunchRecord } from "../../libs/contracts/providers/provider.ts";
import type { SessionRecord } from "../../libs/contracts/sessions/session.ts";
import { taskEvents } from "../../libs/contracts/streams.ts";
import type { TaskEvent } from "../../libs/contracts/tasks/task.ts";
import { isTelephone } from "../../libs/domain/task/outcome.ts";
import { attemptOfSession } from "../../libs/domain/task/task-ids.ts";
import { type Clock, isoNow } from "../../libs/runtime/clock.ts";
import { callStatusOf, callStatusOfLaunch } from "./call-status.ts";

interface Deps {
  readonly bus: Bus;
  readonly clock: Clock;
}

const CONCURRENCY = 128;
/** About 30 s of deliveries: enough for a hang-up, even after a takeover of the launch. */
const HANGING_UP_DELIVERIES = 11;

/** Runs until stopped. The instances share the work. */
export async function followCalls(deps: Deps): Promise<Stop> {
  const { bus } = deps;
  const publish = async (event: TaskEvent | undefined) => {
    if (event !== undefined) await bus.streams.publish(taskEvents, event);
    return "ack" as const;
  };
  const stopSessions = await bus.kv.consume(
    sessions,
    { durable: "tasks-sessions", description: "Tasks service: follows sessions.", concurrency: CONCURRENCY },
    async ({ value }, { deliveries }) => {
      const event = value === undefined ? undefined : await eventOfSession(deps, value);
      if (isHangingUp(event) && deliveries < HANGING_UP_DELIVERIES) return "nak";
      return publish(event);
    },
  );
  const stopLaunches = await bus.kv.consume(
    launches,
    {
      durable: "tasks-launches",
      description: "Tasks service: follows phone calls.",
      concurrency: CONCURRENCY,
    },
    ({ value, revision }) => publish(value === undefined ? undefined : eventOfLaunch(deps, value, revision)),
  );
  return async () => {
    await Promise.all([stopSessions(), stopLaunches()]);
  };
}

async function eventOfSession({ bus, clock }: Deps, record: SessionRecord): Promise<TaskEvent | undefined> {
  const of = attemptOfSession(record.sessionId);
  if (of === undefined || record.call?.task !== of.taskId) return undefined;
  const about = { tenant: record.tenant, taskId: of.taskId, attempt: of.attempt, at: isoNow(clock) };
  if (record.state === "ready") return { ...about, type: "session_ready" };
  if (record.state !== "ended") return undefined;
  // The providers service stores the call's end before it reports the session's: the session's end implies both.
  const { call, isOver } = await callStatusOf(
    bus,
    record.tenant,
    record.sessionId,
    record.provider ?? "pool",
  );
  return {
    ...about,
    type: "session_ended",
    endedReason: record.endedReason ?? "completed",
    reason: record.history.at(-1)?.reason ?? record.endedReason ?? "",
    wasReady: record.timings.readyMs !== undefined || record.history.some(({ state }) => state === "ready"),
    retryable: isRetryable(record),
    ...(call === undefined ? {} : { call }),
    ...(isOver && call === undefined ? { notDialed: true as const } : {}),
  };
}

/** The session ended while the phone rang. The providers service soon knows whether the call was answered just then. */
const isHangingUp = (event: TaskEvent | undefined): boolean =>
  event?.type === "session_ended" && (event.call?.status === "dialing" || event.call?.status === "ringing");

/** An error that ended the session before its last attempt was permanent. */
const isRetryable = ({ endedReason, failures, maxAttempts }: SessionRecord): boolean =>
  !((endedReason === "agent_error" || endedReason === "provider_error") && failures < maxAttempts);

function eventOfLaunch({ clock }: Deps, launch: LaunchRecord, revision: number): TaskEvent | undefined {
  const of = attemptOfSession(launch.sessionId);
  const call = callStatusOfLaunch(launch);
  if (of === undefined || call === undefined || !isTelephone(launch.provider)) return undefined;
  return {
    type: "call_updated",
    tenant: launch.tenant,
    taskId: of.taskId,
    attempt: of.attempt,
    at: isoNow(clock),
    call,
    revision,
  };
}
