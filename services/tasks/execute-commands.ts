// Says what a task's record calls for: its session is asked for, or its end.
import type { Bus } from "../../libs/bus/bus.ts";
import { sessionEvents } from "../../libs/contracts/streams.ts";
import type { TaskRecord } from "../../libs/contracts/tasks/task.ts";
import { commandsFor } from "../../libs/domain/task/commands-for.ts";
import { fingerprintOf } from "../../libs/domain/task/task-ids.ts";
import { type Clock, isoNow } from "../../libs/runtime/clock.ts";

interface Deps {
  readonly bus: Bus;
  readonly clock: Clock;
}

/** Words for a session's history are cut there too; the whole is in the task. */
const WHY_MAX = 240;

/** Each command may be given again: the request of a session that is there, and the end of one that has ended. */
export async function speak({ bus, clock }: Deps, record: TaskRecord): Promise<void> {
  for (const command of commandsFor(record)) {
    const address = { tenant: record.tenant, sessionId: command.session, at: isoNow(clock) };
    if (command.do === "end_session") {
      const why = command.why.slice(0, WHY_MAX);
      await bus.publish(sessionEvents, { ...address, type: "end_requested", reason: "cancelled", why });
      continue;
    }
    const { to, from, provider, profile, metadata } = record;
    await bus.publish(sessionEvents, {
      ...address,
      type: "requested",
      profile,
      user: { id: `callee-${record.id}`, name: to },
      metadata,
      requestHash: fingerprintOf([record.id, command.attempt]),
      ...(provider === "pool" ? {} : { provider }),
      call: {
        to,
        ...(from === undefined ? {} : { from }),
        task: record.id,
        taskAttempt: command.attempt,
      },
      maxDurationMs: record.deadlineMs.attempt,
    });
  }
}
