// Whether the callee of a telephone call has answered: until then the agent is alone, however its telephone rings.
import type { JobContext } from "@livekit/agents";
import { ParticipantKind, type RemoteParticipant, RoomEvent } from "@livekit/rtc-node";
import { ANSWERED, CALL_STATUS } from "../../../libs/contracts/sessions/room-messages.ts";
import { withResolvers } from "../../../libs/runtime/with-resolvers.ts";
import type { JobRoom } from "./room.ts";

/**
 * LiveKit SIP puts the callee into the room as soon as it dials, and says by an attribute when they answer. What an
 * agent says before that would be lost, so it waits here: greetings, replies, sounds of any kind. In an attempt that
 * goes on with a call the callee has answered long ago, and nothing waits.
 */
export class CallAnswer {
  readonly #callee: string | undefined;
  readonly #room: JobRoom;
  readonly #answered = withResolvers<void>();
  #isOpen: boolean;
  #wasThere = false;

  /** @param callee undefined in a session without a telephone call, where nobody's answer is waited for */
  constructor(callee: string | undefined, room: JobRoom) {
    this.#callee = callee;
    this.#room = room;
    this.#isOpen = callee === undefined;
    // Most of the time nobody waits when it is given up.
    this.#answered.promise.catch(() => {});
  }

  /** False once somebody has answered, and where there is no telephone. */
  get isAwaited(): boolean {
    return !this.#isOpen;
  }

  /** Watches the callee's line. @param onChange called when it may have changed who is there */
  follow(onChange: () => void): void {
    if (this.#callee === undefined) return;
    const look = () => {
      this.look();
      onChange();
    };
    this.#room.on(RoomEvent.ParticipantConnected, look);
    this.#room.on(RoomEvent.ParticipantAttributesChanged, look);
  }

  /** Looks at the callee's line as it is now; also for one who was in the room before the agent. */
  look(): void {
    if (this.#isOpen || this.#callee === undefined) return;
    const callee = this.#room.remoteParticipants.get(this.#callee);
    if (callee?.attributes[CALL_STATUS] !== ANSWERED) return;
    this.#isOpen = true;
    this.#wasThere = true;
    this.#answered.resolve();
  }

  /** Answers when somebody has. @throws Error when the agent leaves before */
  async wait(): Promise<void> {
    if (!this.#isOpen) await this.#answered.promise;
  }

  /** The job is over: nothing waits for an answer any more. */
  giveUp(): void {
    this.#answered.reject(new Error("the agent left its room before the call was answered"));
  }

  /** Whether somebody is there to talk to: not while their telephone rings. */
  isThere(participant: RemoteParticipant): boolean {
    if (participant.info.kind === ParticipantKind.AGENT) return false;
    return participant.identity !== this.#callee || this.#isOpen;
  }

  /** Who put down a telephone doesn't come back. */
  get hasHungUp(): boolean {
    return this.#wasThere && !this.#room.remoteParticipants.has(this.#callee ?? "");
  }

  /**
   * Has `ctx.waitForParticipant` wait for the answer, where a file waits for its callee. A file that does so before
   * it starts its AgentSession is ready for them, and nobody is called before it says so.
   */
  standInFrontOf(context: JobContext, onWaiting: () => void): void {
    if (this.#callee === undefined) return;
    const original = context.waitForParticipant.bind(context);
    context.waitForParticipant = async (identity) => {
      if (this.isAwaited && this.#room.isConnected && (identity ?? this.#callee) === this.#callee)
        onWaiting();
      const participant = await original(identity);
      if (participant.identity === this.#callee) await this.wait();
      return participant;
    };
  }
}
