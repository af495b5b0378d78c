// The job of one session: runs the agent file's `entry`, and reports its progress to the host.
import { type AgentDefinition, type JobContext, runWithJobContextAsync, type voice } from "@livekit/agents";
import { DisconnectReason, RoomEvent, RpcError } from "@livekit/rtc-node";
import {
  ALIVE_METHOD,
  type AliveAnswer,
  READY_ATTRIBUTE,
  READY_TOPIC,
} from "../../../libs/contracts/sessions/room-messages.ts";
import { redactTokens } from "../../../libs/runtime/redact-tokens.ts";
import { withResolvers } from "../../../libs/runtime/with-resolvers.ts";
import type { JobError, ProcessFailover, ProcessToHost } from "../pool/messages.ts";
import { CallAnswer } from "./call-answer.ts";
import { closeJob } from "./close-job.ts";
import { JobConversation } from "./conversation.ts";
import { ExitError } from "./exit-only-jobs.ts";
import { type ContextDeps, describeRoom, insideOf, makeContext } from "./job-context.ts";
import { showName } from "./participant.ts";
import { Readiness, type ReadinessTraits } from "./readiness.ts";
import { inEntry, ResumeGreeting } from "./resume-greeting.ts";
import { isRetryable, isSecondSession, isUnreachable } from "./retryable.ts";
import { TranscriptHold } from "./transcript-hold.ts";
import { JobUsage } from "./usage.ts";

export interface JobDeps extends ContextDeps {
  readonly agent: AgentDefinition;
  readonly failover: ProcessFailover;
  readonly readiness: ReadinessTraits;
  readonly send: (message: ProcessToHost) => void;
  readonly warn: (error: unknown, message: string) => void;
}

interface Ending {
  readonly reason: string;
  readonly error?: JobError;
  /** The connection broke, so another agent has to continue. */
  readonly lost?: boolean;
  /** The host requested the end, so it needs no report. */
  readonly released?: boolean;
  /** Another agent may continue the session, in the same room. */
  readonly sessionGoesOn?: boolean;
}

type SessionStart = Parameters<voice.AgentSession["start"]>[0];

/** The time in which a file that has closed its AgentSession may start another one. */
const NEXT_SESSION_MS = 1000;

const SECOND_SESSION =
  "LiveKit allows one AgentSession at a time in a room, and one in a job that records. Start the second one later, or with record: false.";

export class RunningJob {
  readonly #deps: JobDeps;
  readonly #context: JobContext;
  readonly #ending = withResolvers<Ending>();
  readonly #conversation: JobConversation;
  readonly #usage: JobUsage;
  readonly opening: ResumeGreeting;
  readonly answer: CallAnswer;
  readonly readiness: Readiness;
  readonly #transcripts: TranscriptHold;
  /** The intervals that the file has started. They end with the job. */
  readonly intervals = new Set<NodeJS.Timeout>();
  /** The first AgentSession of `entry`, whose conversation is stored and restored. */
  #session: voice.AgentSession | undefined;
  readonly #openSessions = new Set<object>();
  /** The listeners of closed AgentSessions that still run. */
  readonly #afterClose: Promise<void>[] = [];
  /** Undefined until the job ends. */
  #sessionGoesOn: boolean | undefined;
  #isJoined = false;
  #isOver = false;
  #present = false;
  #hadUser = false;

  constructor(deps: JobDeps) {
    this.#deps = deps;
    const { failover, job, send, slot, warn } = deps;
    const resumes = failover.restore ? job.resumes : undefined;
    this.#conversation = new JobConversation({ slot, resumes, keep: failover.restore, send });
    this.#usage = new JobUsage({ slot, send });
    this.opening = new ResumeGreeting(this.#conversation, failover.message, warn);
    this.answer = new CallAnswer(job.callee, deps.room);
    this.readiness = new Readiness({
      ...deps.readiness,
      afterMs: deps.start.readyAfterMs,
      onReady: (awaitingUser) => this.#onReady(awaitingUser),
      onStarted: () => send({ type: "started", slot }),
      onFailed: (error) => this.fail(error),
    });
    this.#transcripts = new TranscriptHold(deps.room, deps.start.transcriptDelayMs, (error) =>
      this.#warnUnlessOver(error, "failed to send a transcript"),
    );
    this.#context = this.#makeContext();
    this.answer.patchWaitForParticipant(this.#context, this.readiness);
  }

  /** Runs the job to its end and cleans up. Never throws. */
  async run(): Promise<void> {
    const { room, send, slot } = this.#deps;
    room.belongTo(this.#context);
    this.#followRoom();
    room.onConnected = () => this.#joined();
    room.onReconnected = () => {
      send({ type: "reconnected", slot });
      if (!this.#isJoined) {
        this.#joined();
        return;
      }
      this.#prepareParticipant();
      this.answer.check();
      this.#countHumans();
    };
    if (room.isConnected) this.#joined();
    const entry = runWithJobContextAsync(this.#context, () =>
      inEntry(async () => this.#deps.agent.entry(this.#context)),
    );
    entry.then(
      () => this.readiness.returned(),
      (error: unknown) => this.fail(error),
    );
    const ending = await this.#ending.promise;
    this.#isOver = true;
    this.readiness.stop();
    this.answer.giveUp();
    if (!ending.released) {
      send({
        type: "ended",
        slot,
        reason: ending.reason,
        ...(ending.error === undefined ? {} : { error: ending.error }),
        lost: ending.lost ?? false,
      });
    }
    const { agent, warn } = this.#deps;
    await closeJob({
      agent,
      context: this.#context,
      room,
      entry,
      afterClose: () => Promise.all(this.#afterClose),
      isDeserted: () => !this.#present,
      onLeft: () => {
        // The sessions are closed by now, and have reported their last metrics.
        this.#usage.finish();
        send({ type: "left", slot });
      },
      warn,
    });
    for (const interval of this.intervals) clearInterval(interval);
    send({ type: "closed", slot });
  }

  /** Ends the job because `entry` threw, or because other code of the agent failed. */
  fail(error: unknown): void {
    if (error instanceof ExitError) return;
    // Pending calls to the room fail when the agent leaves it. Such an error has no meaning.
    if (this.#isOver) return;
    if (this.#userHangsUp()) {
      this.#deps.warn(error, "the agent's code failed while its user hung up; the session ends");
      this.#deps.send({ type: "user", slot: this.#deps.slot, present: false, hungUp: true });
      return;
    }
    const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    const message = redactTokens(isSecondSession(error) ? `${text} ${SECOND_SESSION}` : text);
    this.#deps.warn(error, "the agent's code failed");
    const retryable = isRetryable(error);
    this.#end({
      reason: "the agent's code failed",
      error: { message, retryable, ...(this.#isUnreachable(error) ? { cause: "host" } : {}) },
      sessionGoesOn: retryable,
    });
  }

  /** Whether LiveKit could not be reached for the job's own room, which is no fault of the file. */
  #isUnreachable(error: unknown): boolean {
    return !this.#isJoined && error === this.#deps.room.connectError && isUnreachable(error);
  }

  /** Whether the AgentSession closes because its user has left. Some model plugins throw at that moment. */
  #userHangsUp(): boolean {
    const closing = this.#session as { closingTask?: Promise<void> | null } | undefined;
    return this.#hadUser && !this.#present && closing?.closingTask != null;
  }

  /** The file called process.exit(). A code other than 0 is a failure. */
  exit(code: number | string): void {
    const reason = `the agent called process.exit(${code})`;
    const error = { message: reason, retryable: true };
    this.#end(Number(code) === 0 ? { reason } : { reason, error, sessionGoesOn: true });
  }

  isPrimary(session: voice.AgentSession): boolean {
    return this.#session === session;
  }

  /** @returns true for the first session of the job, which continues the conversation. */
  onSessionStarting(session: voice.AgentSession, { agent, room }: SessionStart): boolean {
    if (room === this.#deps.room) this.#deps.room.sessionStarting();
    this.#openSessions.add(session);
    this.#usage.follow(session);
    if (this.#session !== undefined) return false;
    this.#session = session;
    try {
      this.#conversation.restoreInto(session, agent);
    } catch (error) {
      this.#deps.warn(error, "failed to restore the conversation; the agent starts without it");
      this.opening.leaveToFile();
    }
    this.#conversation.follow(session);
    this.opening.begin(session);
    return true;
  }

  /**
   * An AgentSession closes when its user hangs up or a model provider keeps failing. LiveKit's own job would continue in
   * silence. Greenroom reports it, so that no user is left with an agent that does not hear.
   */
  onSessionClosed(session: object, reason: string, error: unknown): void {
    this.#openSessions.delete(session);
    if (this.#isOver || insideOf(this.#context)._primaryAgentSession !== session) return;
    if (reason === "error") {
      this.fail(
        (error as { error?: unknown } | undefined)?.error ?? error ?? new Error("the AgentSession failed"),
      );
    } else if (reason === "participant_disconnected") {
      this.#present = false;
      this.#deps.send({ type: "user", slot: this.#deps.slot, present: false, hungUp: true });
    } else {
      this.#endUnlessAnotherSpeaks(reason);
    }
  }

  /** The file has closed its AgentSession, so its user would hear nothing any more. */
  #endUnlessAnotherSpeaks(reason: string): void {
    const end = () => {
      if (this.#openSessions.size === 0)
        this.#end({ reason: `the agent closed its AgentSession (${reason})` });
    };
    setTimeout(end, NEXT_SESSION_MS);
  }

  /** A listener of a closed AgentSession may go on, for example to store a summary. The job waits for it. */
  afterClose(work: unknown): void {
    // A rejection stays unhandled, as it is without this wait.
    this.#afterClose.push(new Promise((resolve) => void Promise.resolve(work).finally(resolve)));
  }

  #end(ending: Ending): void {
    // The first one counts. Its other listeners may delete the room at once.
    this.#sessionGoesOn ??= ending.sessionGoesOn === true;
    this.#ending.resolve(ending);
  }

  /** The host releases the job. */
  release(reason: string, sessionGoesOn: boolean): void {
    this.#end({ reason, released: true, sessionGoesOn });
  }

  #makeContext(): JobContext {
    return makeContext(
      this.#deps,
      {
        ready: () => this.readiness.serves(),
        getResumption: () => this.#conversation.resumption(),
        disableAutoGreeting: () => this.opening.leaveToFile(),
      },
      {
        shutdown: (reason) => this.#end({ reason }),
        keepsRoom: () => this.#sessionGoesOn === true,
      },
    );
  }

  #followRoom(): void {
    const { room, send, slot } = this.#deps;
    room.on(RoomEvent.Disconnected, (reason) => {
      const closed = reason === DisconnectReason.ROOM_DELETED || reason === DisconnectReason.ROOM_CLOSED;
      this.#end(
        closed
          ? { reason: "the room was closed" }
          : {
              reason: `the agent lost its room (${DisconnectReason[reason] ?? reason})`,
              lost: true,
              sessionGoesOn: true,
            },
      );
    });
    this.answer.follow(() => this.#countHumans());
    room.on(RoomEvent.ParticipantConnected, (participant) => {
      this.#countHumans();
      if (this.readiness.isReady) this.#announce([participant.identity]);
    });
    room.on(RoomEvent.ParticipantDisconnected, () => this.#countHumans());
    room.on(RoomEvent.ActiveSpeakersChanged, (speakers) => {
      if (speakers.length > 0) send({ type: "active", slot });
    });
  }

  #countHumans(): void {
    const { room, send, slot } = this.#deps;
    const present = [...room.remoteParticipants.values()].some((one) => this.answer.isThere(one));
    if (present === this.#present) return;
    this.#present = present;
    this.#hadUser ||= present;
    send({ type: "user", slot, present, hungUp: !present && this.answer.hasHungUp });
  }

  #joined(): void {
    if (this.#isJoined || this.#isOver) return;
    this.#isJoined = true;
    describeRoom(this.#deps.proto, this.#deps.room);
    this.#transcripts.follow(this.#deps.job.attempt > 1);
    this.#prepareParticipant();
    this.#deps.send({ type: "joined", slot: this.#deps.slot, ...this.#place() });
    this.answer.check();
    this.#countHumans();
    showName(this.#deps.room.localParticipant, this.#deps.proto.agentName).catch((error: unknown) =>
      this.#warnUnlessOver(error, "failed to set the attribute lk.agent.name"),
    );
    this.readiness.inRoom();
  }

  /** Prepares the agent's participant, a new one after each connection. */
  #prepareParticipant(): void {
    const participant = this.#deps.room.localParticipant;
    if (participant !== undefined) this.#transcripts.hold(participant);
    this.#servePing();
  }

  /** Answers LiveKit RPCs that check whether this agent is alive, until the job is over. */
  #servePing(): void {
    const { job, room } = this.#deps;
    const answer: AliveAnswer = { sessionId: job.sessionId, attempt: job.attempt };
    room.localParticipant?.registerRpcMethod(ALIVE_METHOD, async () => {
      if (this.#isOver) throw RpcError.builtIn("APPLICATION_ERROR", "the agent is leaving");
      return JSON.stringify(answer);
    });
  }

  #onReady(awaitingUser: boolean): void {
    if (this.#isOver) return;
    this.#joined();
    this.#deps.send({
      type: "ready",
      slot: this.#deps.slot,
      ...(awaitingUser ? { awaitingUser } : {}),
      ...this.#place(),
    });
    this.#announce([]);
  }

  /** Announces in the room that the agent is ready: by a message, and by an attribute for later participants. */
  #announce(identities: string[]): void {
    const { job, room } = this.#deps;
    const local = room.localParticipant;
    if (local === undefined) return;
    const message = JSON.stringify({ type: "ready", sessionId: job.sessionId, attempt: job.attempt });
    const announcements = [
      local.publishData(new TextEncoder().encode(message), {
        reliable: true,
        topic: READY_TOPIC,
        ...(identities.length === 0 ? {} : { destination_identities: identities }),
      }),
      ...(identities.length === 0
        ? [local.setAttributes({ ...local.attributes, [READY_ATTRIBUTE]: String(job.attempt) })]
        : []),
    ];
    for (const each of announcements)
      each.catch((error: unknown) => this.#warnUnlessOver(error, "failed to announce ready in the room"));
  }

  /** Pending calls to the room fail when the agent leaves it. */
  #warnUnlessOver(error: unknown, message: string): void {
    if (!this.#isOver) this.#deps.warn(error, message);
  }

  #place() {
    const { room, job, identity } = this.#deps;
    return { room: room.name ?? job.room ?? "", identity: room.localParticipant?.identity ?? identity };
  }
}
