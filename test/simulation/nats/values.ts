// Decoded values of the memory server: each stored text is decoded once, and its value is frozen.

const known = new WeakMap<Uint8Array, WeakMap<object, unknown>>();

/**
 * Returns the value of a message or record: the same object for every reader of the same bytes.
 *
 * Decoding it again for each of many processes took a third of a simulation's time. Changing the shared value
 * throws, so that processes can communicate only over the bus.
 *
 * @param as the cache key: the same bytes may be decoded with several schemas
 */
export function readOnce<T>(data: Uint8Array, as: object, read: () => T): T {
  let values = known.get(data);
  if (values === undefined) {
    values = new WeakMap();
    known.set(data, values);
  }
  if (values.has(as)) return values.get(as) as T;
  const value = freeze(read());
  values.set(as, value);
  return value;
}

function freeze<T>(value: T): T {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return value;
  Object.freeze(value);
  for (const part of Object.values(value)) freeze(part);
  return value;
}
