// Executes the commands of a task's record: requests its session, or the session's end.
import type { Bus } from "../../libs/bus/bus.ts";
import { sessionEvents } from "../../libs/contracts/streams.ts";
import type { TaskRecord } from "../../libs/contracts/tasks/task.ts";
import { fingerprint } from "../../libs/domain/ids.ts";
import { commandsFor } from "../../libs/domain/task/commands-for.ts";
import { type Clock, isoNow } from "../../libs/runtime/clock.ts";

interface Deps {
  readonly bus: Bus;
  readonly clock: Clock;
}

/** The limit of a reason in a session's history. The task has the full text. */
const REASON_MAX = 240;

/** Both commands are harmless when repeated (I3). */
export async function executeCommands({ bus, clock }: Deps, record: TaskRecord): Promise<void> {
  for (const command of commandsFor(record)) {
    const address = { tenant: record.tenant, sessionId: command.sessionId, at: isoNow(clock) };
    if (command.do === "end_session") {
      const reason = command.reason.slice(0, REASON_MAX);
      await bus.streams.publish(sessionEvents, {
        ...address,
        type: "end_requested",
        endedReason: "cancelled",
        reason,
      });
      continue;
    }
    const { to, from, provider, profile, metadata } = record;
    await bus.streams.publish(sessionEvents, {
      ...address,
      type: "requested",
      profile,
      user: { id: `callee-${record.taskId}`, name: to },
      metadata,
      requestHash: fingerprint([record.taskId, command.attempt]),
      ...(provider === "pool" ? {} : { provider }),
      call: {
        to,
        ...(from === undefined ? {} : { from }),
        task: record.taskId,
        taskAttempt: command.attempt,
      },
      maxDurationMs: record.deadlineMs.attempt,
    });
  }
}
