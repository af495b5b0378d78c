// What the memory server's clients are given: each stored text is read once, and the value of it is frozen.

const known = new WeakMap<Uint8Array, WeakMap<object, unknown>>();

/**
 * The value of a message or record, the same object for everybody who reads the same bytes.
 *
 * Reading it anew for each of many processes was a third of a simulation's time. To change what others hold
 * too throws, so that no process can tell another anything but by the bus.
 *
 * @param as what it is read as: the same bytes may be read by several schemas
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
