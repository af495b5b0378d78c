// Handles an event of a record: read, reduce, persist by compare-and-set, act, ack.
import type { Bucket } from "../contracts/buckets.ts";
import type { Ack, Bus, Delivery } from "./bus.ts";

/** A record and its revision in the store; revision 0 for a record that is not stored yet. */
export interface Versioned<R> {
  readonly record: R;
  readonly revision: number;
}

/** The records that a process wrote last, by key. A cached record may be out of date. */
export interface VersionedCache<R> {
  get(key: string): Versioned<R> | undefined;
  set(key: string, versioned: Versioned<R>): void;
  forget(key: string): void;
}

/** A record changed before it is saved, for example by the choice of a host. */
export interface Plan<R> {
  readonly record: R;
  /** Called once the commands of the record are executed, or its save failed. */
  release(): void;
}

export interface EventRules<R, E> {
  readonly bus: Pick<Bus, "kv">;
  readonly bucket: Bucket<R>;
  readonly cache?: VersionedCache<R>;
  /** The record after the event: the same object when nothing changes, and undefined when there is no record. */
  readonly reduce: (record: R | undefined, event: E, delivery: Delivery) => R | undefined;
  /** Whether an event creates its record. Its first delivery then needs no read. */
  readonly isCreation?: (event: E) => boolean;
  /** The answer to an event without a record, which may have overtaken the event that creates it. */
  readonly withoutRecord: (event: E, delivery: Delivery) => Ack;
  /** @param turn 0 for the event itself, and then 1 more for each input that `act` returned */
  readonly plan?: (record: R, event: E, turn: number) => Plan<R> | undefined;
  /** Marks a record for a write with a new write id. */
  readonly stamp: (record: R) => R;
  readonly onSaved?: (saved: R, before: R | undefined) => void;
  /** Executes the commands of a record. Returns the record after what was learned: the same object for nothing. */
  readonly act: (record: R, event: E) => Promise<R>;
}

/** Lost races after which the event is left to its redelivery. */
const MAX_RACES = 10;
/** More turns than hosts that may decline and attempts that may fail. Beyond them, the event is redelivered. */
const MAX_TURNS = 100;

/**
 * Handles an event, and acks it only after the commands of its record were executed (I2). If this process dies in
 * between, the next one repeats them.
 */
export async function handleEvent<R, E>(
  rules: EventRules<R, E>,
  key: string,
  event: E,
  delivery: Delivery,
): Promise<Ack> {
  for (let race = 0; race < MAX_RACES; race++) {
    const mayGuess = race === 0 && delivery.deliveries === 1;
    const ack = await handleOnce(rules, key, event, delivery, mayGuess);
    if (ack !== "lost race") return ack;
  }
  return "nak";
}

/**
 * @param mayGuess whether to begin with the cached record, or with none for an event that creates one, without a read. A
 *   change of a wrong guess fails at the compare-and-set. That an event changes nothing is only believed after a read.
 */
async function handleOnce<R, E>(
  rules: EventRules<R, E>,
  key: string,
  event: E,
  delivery: Delivery,
  mayGuess: boolean,
): Promise<Ack | "lost race"> {
  const cached = mayGuess ? rules.cache?.get(key) : undefined;
  const isGuess = cached !== undefined || (mayGuess && rules.isCreation?.(event) === true);
  const before = isGuess ? cached : await read(rules, key);
  const after = rules.reduce(before?.record, event, delivery);
  if (isGuess && (after === undefined || after === before?.record)) return "lost race";
  if (after === undefined) return rules.withoutRecord(event, delivery);

  let present: Versioned<R> = { record: after, revision: before?.revision ?? 0 };
  let isChanged = after !== before?.record;
  for (let turn = 0; turn < MAX_TURNS; turn++) {
    const plan = rules.plan?.(present.record, event, turn);
    try {
      const next = plan?.record ?? present.record;
      if (isChanged || next !== present.record) {
        const saved = await save(rules, key, { ...present, record: next });
        if (saved === undefined) return "lost race";
        rules.onSaved?.(saved.record, before?.record);
        present = saved;
      }
      const learned = await rules.act(present.record, event);
      if (learned === present.record) return "ack";
      present = { ...present, record: learned };
      isChanged = true;
    } finally {
      plan?.release();
    }
  }
  return "nak";
}

async function read<R, E>({ bus, bucket }: EventRules<R, E>, key: string): Promise<Versioned<R> | undefined> {
  const entry = await bus.kv.get(bucket, key);
  return entry === undefined ? undefined : { record: entry.value, revision: entry.revision };
}

async function save<R, E>(
  { bus, bucket, cache, stamp }: EventRules<R, E>,
  key: string,
  versioned: Versioned<R>,
): Promise<Versioned<R> | undefined> {
  const record = stamp(versioned.record);
  const revision = await bus.kv.update(bucket, record, versioned.revision);
  if (revision === undefined) {
    cache?.forget(key);
    return undefined;
  }
  const saved = { record, revision };
  cache?.set(key, saved);
  return saved;
}
