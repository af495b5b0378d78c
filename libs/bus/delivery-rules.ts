// The times and limits of deliveries and requests. The same on NATS and in memory.

/** A message is redelivered after this time without a progress report. */
export const ACK_WAIT_MS = 5000;
/** The interval of progress reports of a handler. */
export const WORKING_MS = 2000;
/** How long the server recognizes a message id as a duplicate. */
export const DEDUPE_MS = 10 * 60 * 1000;
/** The lifetime of delete markers. A watcher that was cut off for longer lists all keys, and detects missing ones. */
export const DELETE_MARKER_TTL_MS = 120_000;
/** The time-out of the store. */
export const STORE_TIMEOUT_MS = 5000;
/** The time-out of one request. A request to a dying server costs no more than this. */
export const REQUEST_TIMEOUT_MS = 2000;
/** How long requests are retried without a leader: a cluster elects one within 4 to 9 s. */
export const STORE_PATIENCE_MS = 10_000;
/** The time without an answer after which the overflow stream is tried too. */
export const OVERFLOW_AFTER_MS = 500;
/** How long a request waits for a lost connection. */
export const AWAY_MS = 1500;
/** A message that failed this often becomes a dead letter: the pauses add up to about four minutes. */
export const MAX_DELIVERIES = 30;

/** The pause before a redelivery, in ms: short at first, since most retries wait for a write in flight. */
export const retryPauseMs = (deliveries: number): number => Math.min(50 * 2 ** (deliveries - 1), 10_000);
