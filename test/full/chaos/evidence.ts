// What a chaos run has seen, from outside of the product. The checks of its invariants read nothing else.
import type { CallRecord, UsageReport } from "../../../libs/contracts/calls/call.ts";
import type { HostRecord } from "../../../libs/contracts/fleet/host.ts";
import type { DeadLetter, Rollup } from "../../../libs/contracts/fleet/pool.ts";
import type { LaunchRecord } from "../../../libs/contracts/providers/provider.ts";
import type { SessionEvent, SessionRecord } from "../../../libs/contracts/sessions/session.ts";
import type { TaskRecord } from "../../../libs/contracts/tasks/task.ts";

/** Milliseconds since the run began, on its own monotonic clock, which no fault touches. */
export type RunMs = number;

/** A start that a client asked for, and what it was told. */
export interface Asked {
  readonly askedAtMs: RunMs;
  readonly answeredAtMs: RunMs;
  readonly tenant: string;
  readonly idempotencyKey: string;
  /** The words that were asked with; the same key is also asked with the same words, and once with others. */
  readonly words: string;
  readonly status: number;
  /** Present when the start was accepted. */
  readonly sessionId?: string;
  readonly errorCode?: string;
  /** Told to one user only; found with anybody else it shows a leak. */
  readonly canary: string;
}

/** An outbound task that a client asked for, and what it was told. */
export interface AskedTask {
  readonly askedAtMs: RunMs;
  readonly tenant: string;
  readonly idempotencyKey: string;
  readonly status: number;
  /** Present when it was accepted. */
  readonly taskId?: string;
}

/** A call that the telephone provider made. */
export interface Dialled {
  readonly atMs: RunMs;
  readonly id: string;
  /** The name that the providers service gives the call of a session. */
  readonly name: string;
  readonly to: string;
  readonly wasAnswered: boolean;
  /** It goes on. */
  readonly isLive: boolean;
}

/** One revision of one key of the `sessions` bucket, in the order of the stream; undefined: it was removed. */
export interface Written {
  readonly seenAtMs: RunMs;
  /** When the server stored it, by its own clock, which no fault touches: exact where `seenAtMs` may be late. */
  readonly storedAtMs?: RunMs;
  readonly key: string;
  readonly revision: number;
  readonly record: SessionRecord | undefined;
}

/** A message of the SESSIONS stream; `event` is undefined when it isn't of the contract's shape. */
export interface Said {
  readonly sequence: number;
  /** When the server stored it. Without it nothing can be said of whether it was said too early. */
  readonly storedAtMs?: RunMs;
  readonly subject: string;
  readonly event: SessionEvent | undefined;
  /** Stored by the run itself, to see whether it does harm. */
  readonly forgery?: "repeated" | "late" | "old_attempt" | "other_host" | "nonsense";
}

/** Who was in LiveKit's rooms at one look. `answers` tells a living agent from the ghost of a killed one. */
export interface RoomsSeen {
  readonly atMs: RunMs;
  readonly rooms: readonly {
    readonly name: string;
    readonly participants: readonly {
      readonly identity: string;
      readonly isAgent: boolean;
      /** Asked of agents only, and only where a room has several; undefined: not asked, or LiveKit was away. */
      readonly answers?: boolean;
    }[];
  }[];
}

/** What a host said of itself: every announcement, in the order of arrival. */
export interface HostSaid {
  readonly atMs: RunMs;
  readonly host: HostRecord;
}

/** A line of some process's log. */
export interface Logged {
  readonly atMs: RunMs;
  /** The child as the run calls it, for instance `agent-host-1`. */
  readonly process: string;
  readonly line: Readonly<Record<string, unknown>>;
}

export interface Fault {
  readonly kind: string;
  readonly target: string;
  readonly fromMs: RunMs;
  readonly untilMs: RunMs;
}

/** A participant that is a person, and what it heard. */
export interface Heard {
  readonly sessionId: string;
  readonly identity: string;
  /** Stretches in which nothing was heard although an agent was due, between the first sound and the end. */
  readonly gaps: readonly { readonly fromMs: RunMs; readonly toMs: RunMs }[];
  /** It was put out of its room before its session's end. */
  readonly wasPutOutAtMs?: RunMs;
}

/** Answers of the HTTP API that were looked through for canaries of others. */
export interface Looked {
  /** The canary of whoever looked at what is theirs, or a tenant that looked at all it has. */
  readonly as: string;
  readonly path: string;
  readonly text: string;
}

/** What was there after everything was healed, everybody had left, and the drain was over. */
export interface Remains {
  readonly atMs: RunMs;
  readonly records: readonly SessionRecord[];
  readonly rooms: readonly string[];
  readonly hosts: readonly HostRecord[];
  /** Of the product: living processes that belong to no child of the run, for instance a stage without its host. */
  readonly strayProcesses: readonly string[];
  readonly consumers: readonly {
    readonly stream: string;
    readonly name: string;
    readonly pending: number;
    readonly ackPending: number;
  }[];
  readonly deadLetters: readonly DeadLetter[];
  readonly rollups: readonly Rollup[];
  /** Keys of the `conversations` bucket. */
  readonly conversations: readonly string[];
  readonly tasks: readonly TaskRecord[];
  readonly launches: readonly LaunchRecord[];
  readonly reports: readonly UsageReport[];
  /** What the telephone provider has been asked for from the beginning. */
  readonly dialed: readonly Dialled[];
  readonly calls: readonly CallRecord[];
  /** Key figures of days that differ from what the stored calls give, by their keys. */
  readonly falseKpis: readonly string[];
}

export interface Evidence {
  readonly seed: number;
  readonly asked: readonly Asked[];
  readonly askedTasks: readonly AskedTask[];
  readonly written: readonly Written[];
  readonly said: readonly Said[];
  readonly rooms: readonly RoomsSeen[];
  readonly hosts: readonly HostSaid[];
  readonly logs: readonly Logged[];
  readonly heard: readonly Heard[];
  readonly looked: readonly Looked[];
  readonly faults: readonly Fault[];
  /** When the last fault was over and everything ran again. */
  readonly healedAtMs: RunMs;
  /** When the ends of all sessions were asked for. */
  readonly endedAtMs: RunMs;
  readonly remains: Remains;
}

export interface Violation {
  /** Of the table of invariants. */
  readonly invariant: number;
  readonly what: string;
  readonly sessionId?: string;
}
