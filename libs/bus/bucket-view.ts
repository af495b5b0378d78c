// The view that one process has of a bucket: its records, and how long each has been unchanged.
import type { Bucket } from "../contracts/buckets.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Bus, Change, Stop } from "./bus.ts";

/** A record, and the notes `X` that its view keeps with it. */
export type Seen<T, X = unknown> = X & {
  readonly key: string;
  readonly record: T;
  readonly revision: number;
  /** When this process first saw this revision, in ms on its own monotonic clock (I7). */
  readonly seenAtMs: number;
};

export interface ViewChange<T, X = unknown> extends Change<T> {
  /** The key's entry after and before the change; undefined when the view does not hold the key. */
  readonly seen: Seen<T, X> | undefined;
  readonly before: Seen<T, X> | undefined;
}

type Listener<T, X> = (change: ViewChange<T, X>) => void;

export interface BucketView<T, X = unknown> {
  get(key: string): Seen<T, X> | undefined;
  all(): Seen<T, X>[];
  /** Calls at each change until the returned function is called. A view may skip revisions. */
  onChange(listener: Listener<T, X>): () => void;
  stop: Stop;
}

interface ViewOptions<T, X> {
  /** The records that the view holds; by default all of them. */
  readonly keep?: (record: T) => boolean;
  /** Notes to keep with a record. */
  readonly note?: (record: T, before: Seen<T, X> | undefined, nowMs: number) => X;
  /** Calls at each change, including the records that are present at the start. */
  readonly onChange?: Listener<T, X>;
}

/** Follows a bucket until stopped. Returns once the present records are known. */
export async function watchBucket<T, X = unknown>(
  bus: Bus,
  bucket: Bucket<T>,
  clock: Clock,
  { keep = () => true, note = () => ({}) as X, onChange }: ViewOptions<T, X> = {},
): Promise<BucketView<T, X>> {
  const known = new Map<string, Seen<T, X>>();
  const listeners = new Set(onChange === undefined ? [] : [onChange]);
  const stop = await bus.kv.watch(bucket, (change) => {
    const { key, value: record, revision } = change;
    const before = known.get(key);
    // A watch that starts again may repeat a revision.
    if (record !== undefined && before?.revision === revision) return;
    let seen: Seen<T, X> | undefined;
    if (record === undefined || !keep(record)) known.delete(key);
    else {
      const seenAtMs = clock.monotonic();
      seen = { ...note(record, before, seenAtMs), key, record, revision, seenAtMs };
      known.set(key, seen);
    }
    for (const listener of listeners) listener({ ...change, seen, before });
  });
  return {
    get: (key) => known.get(key),
    all: () => [...known.values()],
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    stop,
  };
}
