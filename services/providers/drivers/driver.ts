// The interface of a provider: launches an agent, observes it, and ends it.
import type { AttemptRef } from "../../../libs/contracts/ids.ts";
import type {
  CallProgress,
  ConnectedCall,
  LaunchRecord,
  ProviderName,
} from "../../../libs/contracts/providers/provider.ts";
import type { SessionRecord } from "../../../libs/contracts/sessions/session.ts";

/** What is to be launched: one attempt of one session. */
export interface LaunchOrder extends AttemptRef {
  readonly profile: string;
  /** The session's room; LiveKit has it already, but for a provider that brings its own. */
  readonly room: string;
  readonly user: SessionRecord["user"];
  readonly metadata: SessionRecord["metadata"];
  /** True when its user is in the room and was left by a former agent. */
  readonly recovering: boolean;
  /** How long the conversation may last, in ms. */
  readonly longestMs: number;
  readonly call?: ConnectedCall;
}

/** What the provider's own name and way for it is, once it said yes. */
export interface LaunchHandle {
  /** The provider's own id: a dispatch, a call. */
  readonly externalId?: string;
  /** The agent's identity in the room, where it is known. */
  readonly identity?: string;
  readonly call?: CallProgress;
}

export type Launched =
  | ({ readonly is: "launched" } & LaunchHandle)
  /** It said no: nothing was started, for sure. */
  | { readonly is: "refused"; readonly reason: string; readonly retryable: boolean }
  /** It may have been done or not, as after a time-out: it is looked up before anything else. */
  | { readonly is: "unconfirmed"; readonly reason: string }
  /** This instance stops before it knows, and asking again is harmless: another takes over the intent. */
  | { readonly is: "left" };

/** Why a call that rang has ended, when neither its callee nor its carrier ended it. */
export const ENDED_UNANSWERED = "ended before it was answered";

/** How a launch stands, by the provider's own word and by who is in the room. */
export type Observation =
  /** Nothing of it is there, and the provider can be believed in that: it may be launched again. */
  | { readonly is: "absent"; readonly reason: string }
  /** It may be there or not, and nobody can tell: it is never launched again. */
  | { readonly is: "untellable"; readonly reason: string }
  /** It was asked for, and nobody has taken it so far. */
  | ({ readonly is: "untaken"; readonly reason: string } & LaunchHandle)
  | Present
  /** It came to its end by itself. */
  | {
      readonly is: "ended";
      readonly reason: string;
      /** Present when something failed. */
      readonly error?: string;
      readonly retryable?: boolean;
      /** Set when the provider failed and not the agent. */
      readonly cause?: "provider";
      readonly call?: CallProgress;
    };

/** `launched`: on its way. `joined`: in its room. `ready`: so it said itself. */
export interface Present extends LaunchHandle {
  readonly is: "launched" | "joined" | "ready";
  /** Humans who are in the room; absent where nobody can tell. */
  readonly users?: number;
  /** Set when it is listed and yet answers nothing, though it did before. */
  readonly isSilent?: true;
}

export interface ProviderDriver {
  readonly name: ProviderName;
  /**
   * In ms: by then a launch has settled, whatever happens. An intent that stands for longer was left by an instance
   * that is gone, and another takes it up.
   */
  readonly launchLimitMs: number;
  /** Asks for an agent. What it throws counts as unclear. */
  launch(order: LaunchOrder): Promise<Launched>;
  /**
   * Looks how a launch stands; also one of which only the intent is known (state `intended`, without an id): then it
   * is found by its session and attempt.
   * @throws when the provider can't be asked: then nothing is decided, and it is asked again
   */
  observe(launch: LaunchRecord): Promise<Observation>;
  /**
   * Sees to it that nothing of the launch is left; also when nothing ever was.
   * @returns how its telephone call ended by that, where this can be told
   * @throws when it isn't known whether something is left
   */
  end(launch: LaunchRecord, reason: string): Promise<CallProgress | undefined>;
  /** Whether only this process can learn how a launch ends, so that it doesn't stop before. */
  isUnfinished?(launch: LaunchRecord): boolean;
  /** This instance stops: a launch that would take long is left to another. */
  stop?(): void;
}
