// Serializes work by key: one at a time for each key, in order of the calls. Different keys run concurrently.

export type KeyedQueue = <T>(key: string, work: () => Promise<T>) => Promise<T>;

export function createKeyedQueue(): KeyedQueue {
  const last = new Map<string, Promise<unknown>>();
  return <T>(key: string, work: () => Promise<T>): Promise<T> => {
    const before = last.get(key);
    const current = before === undefined ? work() : before.then(work, work);
    const finished = current
      .catch(() => {})
      .then(() => {
        if (last.get(key) === finished) last.delete(key);
      });
    last.set(key, finished);
    return current;
  };
}
