// Groups the evidence of a run by session, and separates genuine events from forged ones.

import { sessionKey } from "../../../libs/contracts/ids.ts";
import type { SessionEvent, SessionRecord } from "../../../libs/contracts/sessions/session.ts";
import { sessionEvents } from "../../../libs/contracts/streams.ts";
import type { SequencedEvent } from "../../kit/checks/record-replay.ts";
import type { Evidence, RunMs, StoredEvent, Written } from "./evidence.ts";

/** A revision with a record, and the time of the write. */
export interface Revision {
  readonly atMs: RunMs;
  readonly revision: number;
  readonly record: SessionRecord;
}

/** The evidence about one session. */
export interface Life {
  readonly key: string;
  readonly id: string;
  readonly revisions: readonly Revision[];
  /** The time when the record was deleted. */
  readonly removedAtMs: RunMs | undefined;
  /** Events that Greenroom published, including the run's exact repetitions of them. */
  readonly genuine: readonly SequencedEvent[];
  /** Events that the run invented. */
  readonly forged: readonly (SequencedEvent & { readonly forgery: string })[];
}

export interface Read {
  readonly evidence: Evidence;
  readonly lives: readonly Life[];
  /** The attempts of each agent identity, by the events of hosts and the records. */
  readonly owners: ReadonlyMap<string, ReadonlySet<string>>;
}

const atMsOf = (written: Written): RunMs => written.storedAtMs ?? written.seenAtMs;

/** Returns a session and its attempt as `id#attempt`. */
export const nameOf = (sessionId: string, attempt: number | undefined): string =>
  `${sessionId}#${attempt ?? "?"}`;

export const secondsOf = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;

/** True for a message that violates the contract, or doesn't match its subject. */
export const isUnreadable = ({ event, subject }: StoredEvent): boolean =>
  event === undefined || sessionEvents.subjectOf(event) !== subject;

export function readEvidence(evidence: Evidence): Read {
  const written = groupBy(evidence.written, ({ key }) => key);
  const events = groupBy(
    evidence.events.filter((each) => !isUnreadable(each)),
    ({ event }) => sessionKey({ tenant: event?.tenant ?? "", sessionId: event?.sessionId ?? "" }),
  );
  const keys = [...new Set([...written.keys(), ...events.keys()])];
  const lives = keys.map((key) => lifeOf(key, written.get(key) ?? [], events.get(key) ?? []));
  return { evidence, lives, owners: ownersIn(lives) };
}

function lifeOf(key: string, written: readonly Written[], events: readonly StoredEvent[]): Life {
  const gone = written.find(({ record }) => record === undefined);
  const own = new Set(events.flatMap((each) => (each.forgery === undefined ? [textOf(each.event)] : [])));
  const isGenuine = (each: StoredEvent) => own.has(textOf(each.event));
  return {
    key,
    id: key.split(".")[1] ?? key,
    revisions: written.flatMap((each) =>
      each.record === undefined ? [] : [{ atMs: atMsOf(each), revision: each.revision, record: each.record }],
    ),
    removedAtMs: gone === undefined ? undefined : atMsOf(gone),
    genuine: events.filter(isGenuine).flatMap(sequenced),
    forged: events
      .filter((each) => !isGenuine(each))
      .flatMap((each) => sequenced(each).map((at) => ({ ...at, forgery: each.forgery ?? "" }))),
  };
}

const textOf = (event: SessionEvent | undefined): string => JSON.stringify(event);

const sequenced = ({ sequence, event }: StoredEvent): SequencedEvent[] =>
  event === undefined ? [] : [{ sequence, event }];

/** Maps each agent identity to its attempts. */
function ownersIn(lives: readonly Life[]): Map<string, Set<string>> {
  const owners = new Map<string, Set<string>>();
  const add = (identity: string | undefined, id: string, attempt: number) => {
    if (identity === undefined) return;
    owners.set(identity, (owners.get(identity) ?? new Set()).add(nameOf(id, attempt)));
  };
  for (const { id, genuine, revisions } of lives) {
    for (const { event } of genuine)
      if (event.type === "joined" || event.type === "ready") add(event.identity, id, event.attempt);
    for (const { record } of revisions) {
      add(record.identity, id, record.attempt);
      if (record.previous !== undefined) add(record.previous.identity, id, record.previous.attempt);
    }
  }
  return owners;
}

/** Returns the record at a time, undefined before the first revision. */
export const recordAt = ({ revisions }: Life, atMs: RunMs): SessionRecord | undefined =>
  revisions.findLast((each) => each.atMs <= atMs)?.record;

/** Returns the time when a session ended, or at the latest when its record was deleted. */
export const endedAtMsOf = ({ revisions, removedAtMs }: Life): RunMs | undefined =>
  revisions.find(({ record }) => record.state === "ended")?.atMs ?? removedAtMs;

export function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return groups;
}
