// Says what a task's record calls for: its session is asked for, or its end.
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

/** Words for a session's history are cut there too; the whole is in the task. */
const WHY_MAX = 240;

/** Each command may be given again: the request of a session that is there, and the end of one that has ended. */
export async function executeCommands({ bus, clock }: Deps, record: TaskRecord): Promise<void> {
  for (const command of commandsFor(record)) {
    const address = { tenant: record.tenant, sessionId: command.sessionId, at: isoNow(clock) };
    if (command.do === "end_session") {
      const reason = command.reason.slice(0, WHY_MAX);
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
