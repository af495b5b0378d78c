// The evidence of a chaos run, collected from outside. The invariant checks read nothing else.
import type { CallRecord, UsageReport } from "../../../libs/contracts/calls/call.ts";
import type { HostRecord } from "../../../libs/contracts/fleet/host.ts";
import type { DeadLetter, Rollup } from "../../../libs/contracts/fleet/pool.ts";
import type { LaunchRecord } from "../../../libs/contracts/providers/provider.ts";
import type { SessionEvent, SessionRecord } from "../../../libs/contracts/sessions/session.ts";
import type { TaskRecord } from "../../../libs/contracts/tasks/task.ts";

/** Milliseconds since the start of the run, on its own monotonic clock, which no fault changes. */
export type RunMs = number;

/** A start request of a client, and its answer. */
export interface SentStart {
  readonly sentAtMs: RunMs;
  readonly answeredAtMs: RunMs;
  readonly tenant: string;
  readonly idempotencyKey: string;
  /** The metadata of the request. Clients repeat a key with the same words, and once with other words. */
  readonly words: string;
  readonly status: number;
  /** Present when the start was accepted. */
  readonly sessionId?: string;
  readonly errorCode?: string;
  /** A text of one user only; any other reader of it shows a leak. */
  readonly canary: string;
}

/** A task request of a client, and its answer. */
export interface SentTask {
  readonly sentAtMs: RunMs;
  readonly tenant: string;
  readonly idempotencyKey: string;
  readonly status: number;
  /** Present when the task was accepted. */
  readonly taskId?: string;
}

/** A call that the telephone provider dialed. */
export interface DialedCall {
  readonly atMs: RunMs;
  readonly id: string;
  /** The name that the providers service gives to the call of a session. */
  readonly name: string;
  readonly to: string;
  readonly wasAnswered: boolean;
  /** True while the call continues. */
  readonly isLive: boolean;
}

/** One revision of a key of the `sessions` bucket. Without a record the key was deleted. */
export interface Written {
  readonly seenAtMs: RunMs;
  /** The server's time of the write, on a clock that no fault changes. Exact, while `seenAtMs` may be late. */
  readonly storedAtMs?: RunMs;
  readonly key: string;
  readonly revision: number;
  readonly record: SessionRecord | undefined;
}

/** A message of the SESSIONS stream; `event` is undefined if the message violates the contract. */
export interface StoredEvent {
  readonly sequence: number;
  /** The server's time of the write. Without it the check for early deadlines skips the message. */
  readonly storedAtMs?: RunMs;
  readonly subject: string;
  readonly event: SessionEvent | undefined;
  /** Set for a message that the run itself stored, to check that it does no harm. */
  readonly forgery?: "repeated" | "late" | "old_attempt" | "other_host" | "nonsense";
}

/** The participants of LiveKit's rooms at one moment. `answers` tells a live agent from a killed one. */
export interface RoomsSeen {
  readonly atMs: RunMs;
  readonly rooms: readonly {
    readonly name: string;
    readonly participants: readonly {
      readonly identity: string;
      readonly isAgent: boolean;
      /** Set for agents of a room with several. Undefined otherwise, and while LiveKit is unreachable. */
      readonly answers?: boolean;
    }[];
  }[];
}

/** An announcement of a host, in the order of arrival. */
export interface HostReport {
  readonly atMs: RunMs;
  readonly host: HostRecord;
}

/** A log line of a process. */
export interface Logged {
  readonly atMs: RunMs;
  /** The run's name of the process, for example `agent-host-1`. */
  readonly process: string;
  readonly line: Readonly<Record<string, unknown>>;
}

export interface Fault {
  readonly kind: string;
  readonly target: string;
  readonly fromMs: RunMs;
  readonly untilMs: RunMs;
}

/** A user in a room, and what the user heard. */
export interface Heard {
  readonly sessionId: string;
  readonly identity: string;
  /** Silences between the first sound and the end. */
  readonly gaps: readonly { readonly fromMs: RunMs; readonly toMs: RunMs }[];
  /** Set when LiveKit removed the user before the end of the session. */
  readonly wasRemovedAtMs?: RunMs;
}

/** An answer of the HTTP API, which is searched for canaries of others. */
export interface Looked {
  /** The canary of the reader, or the tenant for a list. */
  readonly as: string;
  readonly path: string;
  readonly text: string;
}

/** Everything that exists after all faults are healed, all clients have left and the drain is over. */
export interface Remains {
  readonly atMs: RunMs;
  readonly records: readonly SessionRecord[];
  readonly rooms: readonly string[];
  readonly hosts: readonly HostRecord[];
  /** Running processes of Greenroom that belong to no child of the run, such as an agent process without its host. */
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
  /** All calls that the telephone provider dialed during the run. */
  readonly dialed: readonly DialedCall[];
  readonly calls: readonly CallRecord[];
  /** Keys of daily figures that differ from the stored call records. */
  readonly falseKpis: readonly string[];
}

export interface Evidence {
  readonly seed: number;
  readonly starts: readonly SentStart[];
  readonly sentTasks: readonly SentTask[];
  readonly written: readonly Written[];
  readonly events: readonly StoredEvent[];
  readonly rooms: readonly RoomsSeen[];
  readonly hosts: readonly HostReport[];
  readonly logs: readonly Logged[];
  readonly heard: readonly Heard[];
  readonly looked: readonly Looked[];
  readonly faults: readonly Fault[];
  /** The time when the last fault was over and everything ran again. */
  readonly healedAtMs: RunMs;
  /** The time when the run requested the end of all sessions. */
  readonly endedAtMs: RunMs;
  readonly remains: Remains;
}

export interface Violation {
  /** The number of the invariant. */
  readonly invariant: number;
  readonly what: string;
  readonly sessionId?: string;
}
