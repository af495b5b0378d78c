// Ends a job: closes its AgentSession, leaves its room and runs its callbacks, each with a timeout.
import { type AgentDefinition, type JobContext, runWithJobContextAsync } from "@livekit/agents";
import { ExitError } from "./exit-only-jobs.ts";
import { insideOf } from "./job-context.ts";
import type { JobRoom } from "./room.ts";

export interface ClosingJob {
  readonly agent: AgentDefinition;
  readonly context: JobContext;
  readonly room: JobRoom;
  /** Settles when the file's `entry` has returned. */
  readonly entry: Promise<void>;
  /** Resolves when the listeners of the closed AgentSession are done. */
  readonly afterClose: () => Promise<unknown>;
  /** Whether the room has no human in it. */
  readonly isDeserted: () => boolean;
  /** Called when the room is left. */
  readonly onLeft: () => void;
  readonly warn: (error: unknown, message: string) => void;
}

/** Most entries return long before the end. An entry that still waits for its user returns when the agent leaves. */
const ENTRY_GRACE_MS = 250;
const ENTRY_END_MS = 5_000;
const SESSION_CLOSE_MS = 10_000;
/** Without a human in the room, the close may wait for a listener that never joins. */
const DESERTED_CLOSE_MS = 2_000;
const LEAVE_MS = 10_000;
/** The time that LiveKit's worker gives its jobs to shut down. */
const CALLBACKS_MS = 60_000;
/** LiveKit's worker waits for no listener. A listener that never settles must not keep its agent for long. */
const LISTENERS_MS = 10_000;

/** Closes a job in the order of LiveKit's own job runner. Never throws. */
export async function closeJob({
  agent,
  context,
  room,
  entry,
  afterClose,
  isDeserted,
  onLeft,
  warn,
}: ClosingJob): Promise<void> {
  const inside = insideOf(context);
  const entryEnd = entry.catch(() => {});
  await Promise.race([entryEnd, new Promise((resolve) => setTimeout(resolve, ENTRY_GRACE_MS))]);
  const within = async (ms: number, doing: string, work: () => Promise<unknown>): Promise<void> => {
    try {
      await inTime(ms, doing, work);
    } catch (error) {
      warn(error, `failed while ${doing}; continuing to close the job`);
    }
  };
  const callBack = async (callback: () => Promise<void>): Promise<void> => {
    try {
      await callback();
    } catch (error) {
      if (!(error instanceof ExitError)) warn(error, "a shutdown callback failed");
    }
  };
  await runWithJobContextAsync(context, async () => {
    await within(
      isDeserted() ? DESERTED_CLOSE_MS : SESSION_CLOSE_MS,
      "closing the AgentSession",
      async () => {
        await inside._primaryAgentSession?.close();
      },
    );
    const { onSessionEnd } = agent as { onSessionEnd?: (context: JobContext) => Promise<void> };
    if (onSessionEnd) await within(CALLBACKS_MS, "calling onSessionEnd", () => onSessionEnd(context));
    await within(LEAVE_MS, "making the session report", () => inside._onSessionEnd());
    await within(LEAVE_MS, "leaving the room", () => room.disconnect());
    onLeft();
    await within(ENTRY_END_MS, "waiting for entry to return", () => entryEnd);
    await within(CALLBACKS_MS, "calling shutdown callbacks", () =>
      Promise.all(inside.shutdownCallbacks.map((callback) => callBack(callback))),
    );
    await within(LISTENERS_MS, "waiting for the listeners of the AgentSession's close", afterClose);
  });
}

async function inTime(ms: number, doing: string, work: () => Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${doing} took more than ${ms} ms`)), ms);
  });
  try {
    await Promise.race([work(), late]);
  } finally {
    clearTimeout(timer);
  }
}
