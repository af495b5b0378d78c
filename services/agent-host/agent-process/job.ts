// One session's job in a stage: runs the agent file's `entry`, and tells the host what becomes of it.
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
  /** The connection broke: nobody ended anything, and another agent should go on. */
  readonly lost?: boolean;
  /** Set when the host asked for it and so needs not be told. */
  readonly released?: boolean;
}

export class RunningJob {
  readonly #deps: JobDeps;
  readonly #context: JobContext;
  readonly #ending = withResolvers<Ending>();
  readonly #conversation: JobConversation;
  readonly #measures: JobUsage;
  readonly opening: ResumeGreeting;
  readonly answer: CallAnswer;
  /** The first AgentSession that `entry` started: the conversation that is handed over. */
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
    this.#measures = new JobUsage({ slot, send });
    this.opening = new ResumeGreeting(this.#conversation, failover.message, warn);
    this.answer = new CallAnswer(job.callee, deps.room);
    this.#context = this.#makeContext();
    this.answer.standInFrontOf(this.#context, () => this.ready());
  }

  /** Runs to the end and cleans up; never throws. */
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
        // The sessions are closed by now, and have told the last of what they measured.
        this.#measures.finish();
        send({ type: "left", slot });
      },
      warn,
    });
    send({ type: "closed", slot });
  }

  /** The agent's code failed where nobody awaited it, or its `entry` threw. */
  fail(error: unknown): void {
    // Whatever still waited for something in the room fails when the room is left; that says nothing.
    if (this.#isOver) return;
    const message = redactTokens(error instanceof Error ? `${error.name}: ${error.message}` : String(error));
    this.#deps.warn(error, "the agent's code failed");
    this.#ending.resolve({
      reason: "the agent's code failed",
      error: { message, retryable: isWorthRepeating(error) },
    });
  }

  isPrimary(session: voice.AgentSession): boolean {
    return this.#session === session;
  }

  /** @returns true for the first session of the job, in whose history the conversation goes on. */
  onSessionStarting(session: voice.AgentSession, agent: voice.Agent): boolean {
    this.#measures.follow(session);
    if (this.#session !== undefined) return false;
    this.#session = session;
    try {
      this.#conversation.restoreInto(session, agent);
    } catch (error) {
      this.#deps.warn(error, "the conversation could not be restored; the agent begins anew");
      this.opening.leaveToFile();
    }
    this.#conversation.follow(session);
    this.opening.begin(session);
    return true;
  }

  /**
   * An AgentSession closes for good when its user hangs up or a provider keeps failing. LiveKit's own job would
   * go on in silence; here the host is told, so that nobody is left with an agent that hears nothing.
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

  /** The host says that the session is over. */
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
      if (this.#isReady) this.#tell([participant.identity]);
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
    this.#answerForLife();
    this.#deps.send({ type: "joined", slot: this.#deps.slot, ...this.#whereabouts() });
    this.answer.look();
    this.#countHumans();
  }

  /** Whoever asks LiveKit whether this agent lives gets an answer from the agent itself, and none once it is over. */
  #answerForLife(): void {
    const { job, room } = this.#deps;
    const answer: AliveAnswer = { sessionId: job.sessionId, attempt: job.attempt };
    room.localParticipant?.registerRpcMethod(ALIVE_METHOD, async () => {
      if (this.#isOver) throw RpcError.builtIn("APPLICATION_ERROR", "the agent is leaving");
      return JSON.stringify(answer);
    });
  }

  /** The agent says so; the first time counts. */
  ready(): void {
    if (this.#isReady || this.#isOver) return;
    this.#isReady = true;
    this.#joined();
    this.#deps.send({ type: "ready", slot: this.#deps.slot, ...this.#whereabouts() });
    this.#tell([]);
  }

  /** Says it in the room too, to those who are there; who comes later finds the attribute, and is told. */
  #tell(identities: string[]): void {
    const { job, room } = this.#deps;
    const local = room.localParticipant;
    if (local === undefined) return;
    const message = JSON.stringify({ type: "ready", sessionId: job.sessionId, attempt: job.attempt });
    const said = [
      local.publishData(new TextEncoder().encode(message), {
        reliable: true,
        topic: READY_TOPIC,
        ...(identities.length === 0 ? {} : { destination_identities: identities }),
      }),
      ...(identities.length === 0
        ? [local.setAttributes({ ...local.attributes, [READY_ATTRIBUTE]: String(job.attempt) })]
        : []),
    ];
    for (const each of said)
      each.catch((error: unknown) => this.#deps.warn(error, "saying ready in the room failed"));
  }

  #whereabouts() {
    const { room, job } = this.#deps;
    return { room: room.name ?? job.room ?? "", identity: room.localParticipant?.identity ?? job.identity };
  }
}

/** An error in the program itself would be thrown again by the next attempt. */
function isWorthRepeating(error: unknown): boolean {
  if (error instanceof Error && "retryable" in error && error.retryable === false) return false;
  return !["TypeError", "ReferenceError", "SyntaxError", "RangeError", "AssertionError"].includes(
    error instanceof Error ? error.name : "",
  );
}
