// A run's evidence in the order in which its checks ask for it: by session, with the genuine apart from the forged.

import { sessionKey } from "../../../libs/contracts/ids.ts";
import type { SessionEvent, SessionRecord } from "../../../libs/contracts/sessions/session.ts";
import { sessionEvents } from "../../../libs/contracts/streams.ts";
import type { SaidAt } from "../../kit/checks/record-replay.ts";
import type { Evidence, RunMs, Said, Written } from "./evidence.ts";

/** A revision that has a record, and since when it stood. */
export interface Revision {
  readonly atMs: RunMs;
  readonly revision: number;
  readonly record: SessionRecord;
}

/** Everything that is known of one session. */
export interface Life {
  readonly key: string;
  readonly id: string;
  readonly revisions: readonly Revision[];
  /** When its record was removed. */
  readonly removedAtMs: RunMs | undefined;
  /** What the product said, and what the run repeated of that word for word. */
  readonly genuine: readonly SaidAt[];
  /** What the run made up, or said of an attempt that was over. */
  readonly forged: readonly (SaidAt & { readonly forgery: string })[];
}

export interface Read {
  readonly evidence: Evidence;
  readonly lives: readonly Life[];
  /** Whose an agent's identity is, by what its host said and by the records. */
  readonly owners: ReadonlyMap<string, ReadonlySet<string>>;
}

const atMsOf = (written: Written): RunMs => written.storedAtMs ?? written.seenAtMs;

/** As a person would name it: the session and the number of the try. */
export const nameOf = (sessionId: string, attempt: number | undefined): string =>
  `${sessionId}#${attempt ?? "?"}`;

export const secondsOf = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;

/** Of no shape that anybody could use, or about another session or thing than its subject says. */
export const isUnreadable = ({ event, subject }: Said): boolean =>
  event === undefined || sessionEvents.subjectOf(event) !== subject;

export function readEvidence(evidence: Evidence): Read {
  const written = groupBy(evidence.written, ({ key }) => key);
  const said = groupBy(
    evidence.said.filter((each) => !isUnreadable(each)),
    ({ event }) => sessionKey({ tenant: event?.tenant ?? "", sessionId: event?.sessionId ?? "" }),
  );
  const keys = [...new Set([...written.keys(), ...said.keys()])];
  const lives = keys.map((key) => lifeOf(key, written.get(key) ?? [], said.get(key) ?? []));
  return { evidence, lives, owners: ownersIn(lives) };
}

function lifeOf(key: string, written: readonly Written[], said: readonly Said[]): Life {
  const gone = written.find(({ record }) => record === undefined);
  const own = new Set(said.flatMap((each) => (each.forgery === undefined ? [textOf(each.event)] : [])));
  const isGenuine = (each: Said) => own.has(textOf(each.event));
  return {
    key,
    id: key.split(".")[1] ?? key,
    revisions: written.flatMap((each) =>
      each.record === undefined ? [] : [{ atMs: atMsOf(each), revision: each.revision, record: each.record }],
    ),
    removedAtMs: gone === undefined ? undefined : atMsOf(gone),
    genuine: said.filter(isGenuine).flatMap(saidAt),
    forged: said
      .filter((each) => !isGenuine(each))
      .flatMap((each) => saidAt(each).map((at) => ({ ...at, forgery: each.forgery ?? "" }))),
  };
}

const textOf = (event: SessionEvent | undefined): string => JSON.stringify(event);

const saidAt = ({ sequence, event }: Said): SaidAt[] => (event === undefined ? [] : [{ sequence, event }]);

/** Each agent's identity with the attempts that it was seen as. */
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

/** What stood at a moment; undefined before the first. */
export const recordAt = ({ revisions }: Life, atMs: RunMs): SessionRecord | undefined =>
  revisions.findLast((each) => each.atMs <= atMs)?.record;

/** When a session was over: its end, or at the latest the removal of its record. */
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
