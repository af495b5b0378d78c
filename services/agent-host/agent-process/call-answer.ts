// Detects the answer to a phone call. Until then the callee counts as absent.
import type { JobContext } from "@livekit/agents";
import { ParticipantKind, type RemoteParticipant, RoomEvent } from "@livekit/rtc-node";
import { ANSWERED, CALL_STATUS } from "../../../libs/contracts/sessions/room-messages.ts";
import { withResolvers } from "../../../libs/runtime/with-resolvers.ts";
import type { Readiness } from "./readiness.ts";
import type { JobRoom } from "./room.ts";

/** Kinds of participants that are not people. */
export const NOBODY = new Set<ParticipantKind | undefined>([
  ParticipantKind.AGENT,
  ParticipantKind.INGRESS,
  ParticipantKind.EGRESS,
]);

/**
 * LiveKit SIP adds the callee to the room as soon as it dials, and sets an attribute when they answer. Nobody would
 * hear an agent before that, so greetings, replies and sounds wait for the answer. In a later attempt the callee has
 * already answered, and nothing waits.
 */
export class CallAnswer {
  readonly #callee: string | undefined;
  readonly #room: JobRoom;
  readonly #answered = withResolvers<void>();
  #isOpen: boolean;
  #wasThere = false;

  /** @param callee undefined in a session without a phone call, in which nothing waits */
  constructor(callee: string | undefined, room: JobRoom) {
    this.#callee = callee;
    this.#room = room;
    this.#isOpen = callee === undefined;
    // Usually nobody waits for the answer when the job ends.
    this.#answered.promise.catch(() => {});
  }

  /** False once somebody has answered, and without a phone call. */
  get isAwaited(): boolean {
    return !this.#isOpen;
  }

  /** Watches the callee. @param onChange called when the participants who count as present may have changed */
  follow(onChange: () => void): void {
    if (this.#callee === undefined) return;
    const check = () => {
      this.check();
      onChange();
    };
    this.#room.on(RoomEvent.ParticipantConnected, check);
    this.#room.on(RoomEvent.ParticipantAttributesChanged, check);
  }

  /** Checks whether the callee has answered, also one who was in the room before the agent. */
  check(): void {
    if (this.#isOpen || this.#callee === undefined) return;
    const callee = this.#room.remoteParticipants.get(this.#callee);
    if (callee?.attributes[CALL_STATUS] !== ANSWERED) return;
    this.#isOpen = true;
    this.#wasThere = true;
    this.#answered.resolve();
  }

  /** Resolves when somebody has answered. @throws Error when the agent leaves before */
  async wait(): Promise<void> {
    if (!this.#isOpen) await this.#answered.promise;
  }

  /** Ends the wait for an answer, because the job is over. */
  giveUp(): void {
    this.#answered.reject(new Error("the agent left its room before the call was answered"));
  }

  /** Whether a participant is a human who can talk. A callee cannot while the phone rings. */
  isThere(participant: RemoteParticipant): boolean {
    if (NOBODY.has(participant.info.kind)) return false;
    return participant.identity !== this.#callee || this.#isOpen;
  }

  /** True when the callee has hung up, and will not come back. */
  get hasHungUp(): boolean {
    return this.#wasThere && !this.#room.remoteParticipants.has(this.#callee ?? "");
  }

  /**
   * Makes `ctx.waitForParticipant` report that it waits, and wait for the answer of the callee. Clients get their room
   * token, and calls are made, only once the agent is ready. A file that waits for its user before it starts its
   * AgentSession therefore counts as ready.
   */
  patchWaitForParticipant(
    context: JobContext,
    readiness: Pick<Readiness, "awaitUser" | "userArrived">,
  ): void {
    const original = context.waitForParticipant.bind(context);
    context.waitForParticipant = async (identity) => {
      const waits = this.#room.isConnected && !this.#hasUser(identity);
      if (waits) readiness.awaitUser();
      try {
        const participant = await original(identity);
        if (participant.identity === this.#callee) await this.wait();
        return participant;
      } finally {
        if (waits) readiness.userArrived();
      }
    };
  }

  #hasUser(identity: string | undefined): boolean {
    return [...this.#room.remoteParticipants.values()].some(
      (one) => this.isThere(one) && (identity === undefined || one.identity === identity),
    );
  }
}
