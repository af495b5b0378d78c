// The interface of a provider: launches an agent, observes it, and ends it.
import type { AttemptRef } from "../../../libs/contracts/ids.ts";
import type {
  CallProgress,
  ConnectedCall,
  LaunchRecord,
  ProviderName,
} from "../../../libs/contracts/providers/provider.ts";
import type { SessionRecord } from "../../../libs/contracts/sessions/session.ts";

/** One attempt of one session that a provider launches an agent for. */
export interface LaunchOrder extends AttemptRef {
  readonly profile: string;
  /** The session's room. It exists in LiveKit, unless the provider brings its own. */
  readonly room: string;
  readonly user: SessionRecord["user"];
  readonly metadata: SessionRecord["metadata"];
  /** True when the user is in the room and has lost an earlier agent. */
  readonly recovering: boolean;
  /** How long the conversation may last, in ms. */
  readonly longestMs: number;
  readonly call?: ConnectedCall;
}

/** How the provider identifies a launch that it has accepted. */
export interface LaunchHandle {
  /** The provider's own id, for example of a dispatch or a call. */
  readonly externalId?: string;
  /** The agent's identity in the room, where it is known. */
  readonly identity?: string;
  readonly call?: CallProgress;
}

export type Launched =
  | ({ readonly is: "launched" } & LaunchHandle)
  /** Certainly nothing was started. */
  | { readonly is: "refused"; readonly reason: string; readonly retryable: boolean }
  /** The launch may have started or not, for example after a time-out: it is looked up before anything else. */
  | { readonly is: "unconfirmed"; readonly reason: string }
  /** This instance stops before it knows. A second request is harmless, so another instance takes over the intent. */
  | { readonly is: "left" };

/** Why a ringing call ended when neither the callee nor the carrier ended it. */
export const ENDED_UNANSWERED = "ended before it was answered";

/** The state of a launch, by the provider and by the participants of the room. */
export type Observation =
  /** The provider certainly has nothing of the launch, so it may be launched again. */
  | { readonly is: "absent"; readonly reason: string }
  /** Whether the launch exists is unknown for good: it is never launched again. */
  | { readonly is: "untellable"; readonly reason: string }
  /** The provider has the request, and nobody has taken it yet. */
  | ({ readonly is: "untaken"; readonly reason: string } & LaunchHandle)
  /** The provider has refused the request. Nothing runs. */
  | { readonly is: "declined"; readonly reason: string }
  | Present
  /** The launch ended by itself. */
  | {
      readonly is: "ended";
      readonly reason: string;
      /** Set when something failed. */
      readonly error?: string;
      readonly retryable?: boolean;
      /** Set when the provider failed, not the agent. */
      readonly cause?: "provider";
      readonly call?: CallProgress;
    };

/** `launched`: on its way. `joined`: in its room. `ready`: by its own report. */
export interface Present extends LaunchHandle {
  readonly is: "launched" | "joined" | "ready";
  /** Set when an agent was promised and is not in its room yet. */
  readonly isTaken?: true;
  /** Humans in the room; absent where this is unknown. */
  readonly users?: number;
  /** Set when the agent is listed and no longer answers, although it did before. */
  readonly isSilent?: true;
  /** Set when the agent talks through an AgentSession of LiveKit's that closes when its user hangs up. */
  readonly hasAgentSession?: true;
}

export interface ProviderDriver {
  readonly name: ProviderName;
  /**
   * In ms: the longest time until `launch` returns. An older intent belongs to a dead instance, so another one takes
   * it over.
   */
  readonly launchLimitMs: number;
  /** Requests an agent. An error counts as unconfirmed. */
  launch(order: LaunchOrder): Promise<Launched>;
  /**
   * Observes a launch. An intent without an id (state `intended`) is found by its session and attempt.
   * @throws when the provider can't be asked; the caller retries
   */
  observe(launch: LaunchRecord): Promise<Observation>;
  /**
   * Ends a launch, so that nothing of it is left. A launch that never started is fine.
   * @returns how its phone call ended, where this is known
   * @throws when something may be left
   */
  end(launch: LaunchRecord, reason: string): Promise<CallProgress | undefined>;
  /** Whether only this process can learn how a launch ends, so that its stop has to wait. */
  isUnfinished?(launch: LaunchRecord): boolean;
  /** This instance stops: launches that would take long are left to another. */
  stop?(): void;
}
