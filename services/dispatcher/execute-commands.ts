// Executes a record's commands against hosts and LiveKit.
import type { ServiceDeps } from "../../libs/bus/service-deps.ts";
import { isError, messageOf } from "../../libs/contracts/errors.ts";
import type { Assign as AssignCommand } from "../../libs/contracts/fleet/host.ts";
import { attemptRefOf } from "../../libs/contracts/ids.ts";
import { calleeIdentityOf, isExternal, isProviderHost } from "../../libs/contracts/providers/provider.ts";
import type { SessionRecord } from "../../libs/contracts/sessions/session.ts";
import { assignCommand, releaseCommand } from "../../libs/contracts/streams.ts";
import { commandsFor, type SessionCommand } from "../../libs/domain/session/commands-for.ts";
import type { DispatcherInput } from "../../libs/domain/session/transitions.ts";
import { requireLiveKit } from "../../libs/livekit/connect.ts";
import { type LiveKit, SESSION_ROOM } from "../../libs/livekit/rooms.ts";
import { type Clock, isoNow } from "../../libs/runtime/clock.ts";

export interface ExecuteDeps extends ServiceDeps {
  readonly livekit: LiveKit | undefined;
  /** Called for a host that has no free agent or is gone. It is not chosen until its next update. */
  readonly excludeUntilUpdate: (hostId: string) => void;
  /** Whether another session uses the session's room now. */
  readonly isRoomReused: (record: SessionRecord) => boolean;
}

/** An agent's token is for one join, now. LiveKit renews it while the agent is connected. */
const AGENT_TOKEN_TTL_S = 60;

/** The pause of a session whose room could not be created because LiveKit did not answer. */
export const LIVEKIT_PAUSE_MS = 2000;

const PROVIDERS_PAUSE_MS = 500;
const MAX_PROVIDERS_PAUSE_MS = 5000;

/** How long the event of a running session waits for the cleanup of the previous attempt. */
const CLEAN_UP_MS = 250;

type Assign = Extract<SessionCommand, { do: "assign" }>;

/**
 * Executes a record's commands. Returns the input that follows from the assign, if it changes the session.
 *
 * The cleanup of the previous attempt runs beside the assign, since a caller must not wait for a dead host. A failed
 * cleanup is logged and left to the janitor. A slow one continues in the background. If this dispatcher dies in between,
 * the previous host notices when it reads the record.
 */
export async function executeCommands(
  deps: ExecuteDeps,
  record: SessionRecord,
): Promise<DispatcherInput | undefined> {
  const commands = commandsFor(record);
  const assign = commands.find((command): command is Assign => command.do === "assign");
  const needsRoom = hasRoom(record) && commands.some((command) => command.do === "create_room");
  const cleaned = cleanUp(deps, record, commands);
  const input = assign === undefined ? undefined : await assignTo(deps, record, assign, needsRoom);
  // A host that hangs must not delay the next agent's `joined` and `ready` behind this event.
  if (record.state === "ended") await cleaned;
  else await atMost(deps.clock, CLEAN_UP_MS, cleaned);
  return input;
}

/** VAPI's calls have no LiveKit room. */
const hasRoom = ({ provider }: SessionRecord): boolean => provider !== "vapi";

/** The pause of a session while the providers service does not answer: twice the previous one. */
export const pauseAfter = (previousMs: number): number =>
  Math.min(MAX_PROVIDERS_PAUSE_MS, Math.max(PROVIDERS_PAUSE_MS, previousMs * 2));

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
  needsRoom: boolean,
): Promise<DispatcherInput | undefined> {
  const { attempt, host } = command;
  const base = { attempt, host, at: isoNow(deps.clock) };
  const startedAtMs = deps.clock.monotonic();
  const failure = (step: string, error: unknown): string =>
    `${step} failed after ${Math.round(deps.clock.monotonic() - startedAtMs)} ms: ${messageOf(error)}`;
  let access: RoomAccess = {};
  try {
    if (needsRoom) access = await createRoom(deps, record, command);
  } catch (error) {
    const reason = failure("creating the room", error);
    // An outage of LiveKit costs no attempt, and a session that recovers stays in recovery.
    return isError(error, "livekit_unavailable")
      ? { ...base, type: "declined", reason, pauseMs: LIVEKIT_PAUSE_MS }
      : { ...base, type: "assign_failed", reason, retryable: true };
  }
  const declined = (reason: string, mayHaveStarted: boolean): DispatcherInput => {
    deps.excludeUntilUpdate(host);
    // A provider has no other host, so the session asks the same one after a pause.
    const pause = isProviderHost(host) ? { pauseMs: pauseAfter(record.backoffMs) } : {};
    return { ...base, type: "declined", reason, mayHaveStarted, ...pause };
  };
  try {
    const answer = await deps.bus.core.request(assignCommand, host, assignOf(record, command, access));
    if (answer.verdict === "accepted") return undefined;
    const verb = answer.verdict === "stale" ? "rejected a stale assign" : "declined";
    return declined(`${host} ${verb}: ${answer.reason}`, false);
  } catch (error) {
    // Nobody received this assign, but an earlier one may have started an agent before its host died.
    if (isError(error, "no_responders")) {
      const isProvider = isProviderHost(host);
      const whoIsGone = isProvider
        ? `no providers service is running that would ask the provider ${record.provider}`
        : `${host} is gone: nobody answers for it`;
      return declined(whoIsGone, true);
    }
    // The host hangs, or cannot read the record while a NATS node is down. The session is not at fault. If the host has
    // accepted the assign after all, the record names another attempt by then.
    if (isError(error, "timeout")) return declined(`${host} did not answer in time`, true);
    const reason = failure(`assigning to ${host}`, error);
    return { ...base, type: "assign_failed", reason, retryable: true };
  }
}

/** The part of an assign that concerns its room. */
type RoomAccess = Pick<AssignCommand, "token" | "liveKitRoom">;

/** Creates the session's room. An external provider makes the token of its own agent. */
async function createRoom(
  { livekit }: ExecuteDeps,
  { provider, room, roomIsNamed }: SessionRecord,
  { identity }: Assign,
): Promise<RoomAccess> {
  const { rooms, tokens } = requireLiveKit(livekit);
  // The user of a room token may have created the room, with options of the token.
  const liveKitRoom = await rooms.create(room, SESSION_ROOM, roomIsNamed);
  if (isExternal(provider)) return {};
  const token = await tokens.forAgent({ room, identity, ttlS: AGENT_TOKEN_TTL_S });
  return { token, ...(liveKitRoom === undefined ? {} : { liveKitRoom }) };
}

const assignOf = (record: SessionRecord, command: Assign, access: RoomAccess) => ({
  ...attemptRefOf({ ...record, attempt: command.attempt }),
  epoch: command.epoch,
  profile: record.profile,
  requestedWarmth: command.requestedWarmth,
  ...(command.room === undefined ? {} : { room: command.room }),
  identity: command.identity,
  ...access,
  user: record.user,
  metadata: record.metadata,
  ...(record.metadataText === undefined ? {} : { metadataText: record.metadataText }),
  ...(record.stored?.metadata === undefined ? {} : { storedMetadata: record.stored.metadata }),
  recovering: record.recovering,
  ...(record.provider === "sip" ? { callee: calleeIdentityOf(record.sessionId) } : {}),
});

/** Executes all commands except for the assign and the creation of its room, one after another. */
async function cleanUp(
  deps: ExecuteDeps,
  record: SessionRecord,
  commands: readonly SessionCommand[],
): Promise<void> {
  for (const command of commands) {
    try {
      await cleanUpBy(deps, record, command);
    } catch (error) {
      if (isError(error, "no_responders")) continue; // The host is gone, and its agents with it.
      const fields = { error, sessionId: record.sessionId, command: command.do };
      deps.log.warn(fields, "failed to clean up; the janitor will do it");
    }
  }
}

/** A late or repeated command must not close the room of the next session. */
const isOfSuccessor = (deps: ExecuteDeps, record: SessionRecord, { room }: { room: string }): boolean =>
  record.state === "ended" && room === record.room && deps.isRoomReused(record);

async function cleanUpBy(deps: ExecuteDeps, record: SessionRecord, command: SessionCommand): Promise<void> {
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
      if (hasRoom(record)) await deps.livekit?.rooms.remove(command.room, command.identity);
      return;
    case "delete_room":
      if (!hasRoom(record) || isOfSuccessor(deps, record, command)) return;
      await deps.livekit?.rooms.delete(command.room);
      return;
    case "close_room": {
      const { hasFailed = false, identity: agent, isOwn: isOwnRoom, room } = command;
      if (!hasRoom(record)) return;
      if (!isOfSuccessor(deps, record, command))
        await deps.livekit?.rooms.close(room, { agent, isOwnRoom, hasFailed });
      else if (agent !== undefined) await deps.livekit?.rooms.remove(room, agent);
    }
  }
}
