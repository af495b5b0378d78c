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
import { type ContextDeps, insideOf, makeContext } from "./job-context.ts";
import { inEntry, ResumeGreeting } from "./resume-greeting.ts";
import { JobUsage } from "./usage.ts";

export interface JobDeps extends ContextDeps {
  readonly agent: AgentDefinition;
  readonly failover: ProcessFailover;
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
}

export class RunningJob {
  readonly #deps: JobDeps;
  readonly #context: JobContext;
  readonly #ending = withResolvers<Ending>();
  readonly #conversation: JobConversation;
  readonly #usage: JobUsage;
  readonly opening: ResumeGreeting;
  readonly answer: CallAnswer;
  /** The first AgentSession of `entry`, whose conversation is stored and restored. */
  #session: voice.AgentSession | undefined;
  #isReady = false;
  #isJoined = false;
  #isOver = false;
  #present = false;

  constructor(deps: JobDeps) {
    this.#deps = deps;
    const { failover, job, send, slot, warn } = deps;
    const resumes = failover.restore ? job.resumes : undefined;
    this.#conversation = new JobConversation({ slot, resumes, keep: failover.restore, send });
    this.#usage = new JobUsage({ slot, send });
    this.opening = new ResumeGreeting(this.#conversation, failover.message, warn);
    this.answer = new CallAnswer(job.callee, deps.room);
    this.#context = this.#makeContext();
    this.answer.patchWaitForParticipant(this.#context, () => this.ready());
  }

  /** Runs the job to its end and cleans up. Never throws. */
  async run(): Promise<void> {
    const { room, send, slot } = this.#deps;
    room.belongTo(this.#context);
    this.#followRoom();
    room.onConnected = () => this.#joined();
    if (room.isConnected) this.#joined();
    const entry = runWithJobContextAsync(this.#context, () =>
      inEntry(async () => this.#deps.agent.entry(this.#context)),
    );
    entry.catch((error: unknown) => this.fail(error));
    const ending = await this.#ending.promise;
    this.#isOver = true;
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
      isDeserted: () => !this.#present,
      onLeft: () => {
        // The sessions are closed by now, and have reported their last metrics.
        this.#usage.finish();
        send({ type: "left", slot });
      },
      warn,
    });
    send({ type: "closed", slot });
  }

  /** Ends the job because `entry` threw, or because other code of the agent failed. */
  fail(error: unknown): void {
    // Pending calls to the room fail when the agent leaves it. Such an error has no meaning.
    if (this.#isOver) return;
    const message = redactTokens(error instanceof Error ? `${error.name}: ${error.message}` : String(error));
    this.#deps.warn(error, "the agent's code failed");
    this.#ending.resolve({
      reason: "the agent's code failed",
      error: { message, retryable: isRetryable(error) },
    });
  }

  isPrimary(session: voice.AgentSession): boolean {
    return this.#session === session;
  }

  /** @returns true for the first session of the job, which continues the conversation. */
  onSessionStarting(session: voice.AgentSession, agent: voice.Agent): boolean {
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
    if (this.#isOver || insideOf(this.#context)._primaryAgentSession !== session) return;
    if (reason === "error") {
      this.fail(
        (error as { error?: unknown } | undefined)?.error ?? error ?? new Error("the AgentSession failed"),
      );
    } else if (reason === "participant_disconnected") {
      this.#present = false;
      this.#deps.send({ type: "user", slot: this.#deps.slot, present: false, hungUp: true });
    }
  }

  /** The host releases the job. */
  release(reason: string): void {
    this.#ending.resolve({ reason, released: true });
  }

  #makeContext(): JobContext {
    return makeContext(
      this.#deps,
      {
        ready: () => this.ready(),
        getResumption: () => this.#conversation.resumption(),
        disableAutoGreeting: () => this.opening.leaveToFile(),
      },
      (reason) => this.#ending.resolve({ reason }),
    );
  }

  #followRoom(): void {
    const { room, send, slot } = this.#deps;
    room.on(RoomEvent.Disconnected, (reason) => {
      const closed = reason === DisconnectReason.ROOM_DELETED || reason === DisconnectReason.ROOM_CLOSED;
      this.#ending.resolve(
        closed
          ? { reason: "the room was closed" }
          : { reason: `the agent lost its room (${DisconnectReason[reason] ?? reason})`, lost: true },
      );
    });
    this.answer.follow(() => this.#countHumans());
    room.on(RoomEvent.ParticipantConnected, (participant) => {
      this.#countHumans();
      if (this.#isReady) this.#announce([participant.identity]);
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
    send({ type: "user", slot, present, hungUp: !present && this.answer.hasHungUp });
  }

  #joined(): void {
    if (this.#isJoined || this.#isOver) return;
    this.#isJoined = true;
    this.#servePing();
    this.#deps.send({ type: "joined", slot: this.#deps.slot, ...this.#place() });
    this.answer.check();
    this.#countHumans();
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

  /** The agent is ready. Only the first call counts. */
  ready(): void {
    if (this.#isReady || this.#isOver) return;
    this.#isReady = true;
    this.#joined();
    this.#deps.send({ type: "ready", slot: this.#deps.slot, ...this.#place() });
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
      each.catch((error: unknown) => this.#deps.warn(error, "failed to announce ready in the room"));
  }

  #place() {
    const { room, job } = this.#deps;
    return { room: room.name ?? job.room ?? "", identity: room.localParticipant?.identity ?? job.identity };
  }
}

/** The next attempt would repeat an error of the program itself. */
function isRetryable(error: unknown): boolean {
  if (error instanceof Error && "retryable" in error && error.retryable === false) return false;
  return !["TypeError", "ReferenceError", "SyntaxError", "RangeError", "AssertionError"].includes(
    error instanceof Error ? error.name : "",
  );
}
