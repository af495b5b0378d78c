// Says what a record calls for, to hosts and to LiveKit, and learns what comes back.
import type { ServiceDeps } from "../../libs/bus/service-deps.ts";
import { isError, messageOf } from "../../libs/contracts/errors.ts";
import { attemptRefOf } from "../../libs/contracts/ids.ts";
import { calleeIdentityOf, isExternal, isProviderHost } from "../../libs/contracts/providers/provider.ts";
import type { SessionRecord } from "../../libs/contracts/sessions/session.ts";
import { assignCommand, releaseCommand } from "../../libs/contracts/streams.ts";
import { commandsFor, type SessionCommand } from "../../libs/domain/session/commands-for.ts";
import type { DispatcherInput } from "../../libs/domain/session/transitions.ts";
import { reasonOf } from "../../libs/domain/session/transitions.ts";
import { requireLiveKit } from "../../libs/livekit/connect.ts";
import type { LiveKit } from "../../libs/livekit/rooms.ts";
import { type Clock, isoNow } from "../../libs/runtime/clock.ts";

export interface ExecuteDeps extends ServiceDeps {
  readonly livekit: LiveKit | undefined;
  /** Called for a host that has no agent to give or isn't there: not to be asked until it speaks. */
  readonly excludeUntilUpdate: (hostId: string) => void;
}

/** An agent's token is for one join, now; LiveKit renews it while the agent is connected. */
const AGENT_TOKEN_TTL_S = 60;
/** Without a human a room is closed after this; the janitor knows the finer limits. */
const ROOM_EMPTY_S = 600;
const ROOM_DEPARTURE_S = 60;

/** How long a session waits that had no room because LiveKit didn't answer. */
export const LIVEKIT_PAUSE_MS = 2000;

const PROVIDERS_PAUSE_MS = 500;
const PROVIDERS_PAUSE_MAX_MS = 5000;

/** How long the message is kept for the sake of a former attempt, while the session lives. */
const CLEAN_UP_MS = 250;

type Assign = Extract<SessionCommand, { do: "assign" }>;

/**
 * Gives a record's commands and answers with what the assign led to, if that changes the session.
 *
 * Cleaning up after a former attempt runs beside the assign: a caller must not wait for a dead host's silence.
 * What fails there is logged and left to the janitor, which finds it in LiveKit's own lists. What takes long
 * goes on by itself; should this dispatcher die over it, the former host finds out when it reads the record.
 */
export async function executeCommands(
  deps: ExecuteDeps,
  record: SessionRecord,
): Promise<DispatcherInput | undefined> {
  const commands = commandsFor(record);
  const assign = commands.find((command): command is Assign => command.do === "assign");
  const creates = commands.filter((command) => command.do === "create_room");
  const rest = commands.filter(
    (command) =>
      command.do === "release" ||
      (command.do !== "assign" && command.do !== "create_room" && hasRoom(record)),
  );
  const cleaned = cleanUp(deps, record, rest);
  const needsRoom = creates.length > 0 && hasRoom(record);
  const input = assign === undefined ? undefined : await assignTo(deps, record, assign, needsRoom);
  // A host that hangs would hold up the next agent's `joined` and `ready` behind this message.
  if (record.state === "ended") await cleaned;
  else await atMost(deps.clock, CLEAN_UP_MS, cleaned);
  return input;
}

/** VAPI makes its calls without any room of ours. */
const hasRoom = ({ provider }: SessionRecord): boolean => provider !== "vapi";

/** How long a session waits while the providers service does not answer: twice as long each time. */
export const pauseAfter = (formerMs: number): number =>
  Math.min(PROVIDERS_PAUSE_MAX_MS, Math.max(PROVIDERS_PAUSE_MS, formerMs * 2));

function atMost(clock: Clock, ms: number, work: Promise<void>): Promise<void> {
  return new Promise((resolve) => {
    const cancel = clock.after(ms, resolve);
    void work.then(() => {
      cancel();
      resolve();
    });
  });
}

async function assignTo(
  deps: ExecuteDeps,
  record: SessionRecord,
  command: Assign,
  createRoom: boolean,
): Promise<DispatcherInput | undefined> {
  const at = isoNow(deps.clock);
  const began = deps.clock.monotonic();
  const failed = (step: string, error: unknown): DispatcherInput => ({
    type: "assign_failed",
    attempt: command.attempt,
    host: command.host,
    at,
    retryable: true,
    reason: `${step} failed after ${Math.round(deps.clock.monotonic() - began)} ms: ${messageOf(error)}`,
  });
  let token: string | undefined;
  try {
    if (createRoom) {
      const { rooms, tokens } = requireLiveKit(deps.livekit);
      await rooms.create(record.room, { emptyTimeoutS: ROOM_EMPTY_S, departureTimeoutS: ROOM_DEPARTURE_S });
      // A provider's agent is given its way in by its provider.
      if (!isExternal(record.provider))
        token = await tokens.forAgent({
          room: record.room,
          identity: command.identity,
          name: record.profile,
          ttlS: AGENT_TOKEN_TTL_S,
        });
    }
  } catch (error) {
    const input = failed("creating the room", error);
    // While LiveKit is away nothing is decided: no attempt is lost, a call that recovers stays recovering.
    if (!isError(error, "livekit_unavailable")) return input;
    return {
      type: "declined",
      attempt: command.attempt,
      host: command.host,
      at,
      reason: reasonOf(input),
      pauseMs: LIVEKIT_PAUSE_MS,
    };
  }
  const declined = (reason: string, mayHaveStarted: boolean): DispatcherInput => {
    deps.excludeUntilUpdate(command.host);
    // There is no other host for it, so it is this one that is asked again.
    const pause = isProviderHost(command.host) ? { pauseMs: pauseAfter(record.backoffMs) } : {};
    return {
      type: "declined",
      attempt: command.attempt,
      host: command.host,
      reason,
      at,
      mayHaveStarted,
      ...pause,
    };
  };
  try {
    const answer = await deps.bus.core.request(assignCommand, command.host, {
      ...attemptRefOf({ ...record, attempt: command.attempt }),
      epoch: command.epoch,
      profile: record.profile,
      requestedWarmth: command.requestedWarmth,
      ...(command.room === undefined ? {} : { room: command.room }),
      identity: command.identity,
      ...(token === undefined ? {} : { token }),
      user: record.user,
      metadata: record.metadata,
      recovering: record.recovering,
      ...(record.provider === "sip" ? { callee: calleeIdentityOf(record.sessionId) } : {}),
    });
    if (answer.verdict === "accepted") return undefined;
    return declined(
      `${command.host} ${answer.verdict === "stale" ? "is in another life" : "declined"}: ${answer.reason}`,
      false,
    );
  } catch (error) {
    // With no responder nobody got it this time; but a telling before may have started an agent, whose host then
    // fell silent. After a time-out this very one may have.
    if (isError(error, "no_responders")) {
      return declined(
        isProviderHost(command.host)
          ? `no providers service is running that would ask the provider ${record.provider}`
          : `${command.host} is gone: nobody answers for it`,
        true,
      );
    }
    // It hangs, or can't read the record while a NATS node is away: nothing that the session did, so it loses
    // nothing by it. Should the host have taken it after all, the record will name another by then.
    if (isError(error, "timeout")) {
      return declined(`${command.host} did not answer in time`, true);
    }
    return failed(`assigning to ${command.host}`, error);
  }
}

async function cleanUp(deps: ExecuteDeps, record: SessionRecord, commands: SessionCommand[]): Promise<void> {
  for (const command of commands) {
    try {
      await carryOut(deps, record, command);
    } catch (error) {
      if (isError(error, "no_responders")) continue; // A host that is gone has let go of everything.
      deps.log.warn(
        { error, sessionId: record.sessionId, command: command.do },
        "cleaning up is left to the janitor",
      );
    }
  }
}

async function carryOut(deps: ExecuteDeps, record: SessionRecord, command: SessionCommand): Promise<void> {
  switch (command.do) {
    case "release": {
      const { host, attempt, reason, untilLeft } = command;
      await deps.bus.core.request(releaseCommand, host, {
        ...attemptRefOf({ ...record, attempt }),
        reason,
        ...(untilLeft === undefined ? {} : { untilLeft }),
      });
      return;
    }
    case "remove_participant":
      await deps.livekit?.rooms.remove(command.room, command.identity);
      return;
    case "delete_room":
      await deps.livekit?.rooms.delete(command.room);
      return;
  }
}
