// When a message is delivered again, and when it is given up: the same on NATS and in memory.

/** How long a message may be in hand without a sign of life before another one gets it. */
export const ACK_WAIT_MS = 5000;
/** How often the holder of a message says that it still works on it. */
export const WORKING_MS = 2000;
/** How long the same message id is known, so that a repeat is stored once. */
export const DEDUPE_MS = 10 * 60 * 1000;
/** How long the mark of a removed key stays: a watcher that was cut off for longer lists anew, and finds what is gone. */
export const DELETE_MARKER_TTL_MS = 120_000;
/** How long the store may take for an answer. */
export const STORE_TIMEOUT_MS = 5000;
/** How long one try at it may take: one that a dying server swallowed costs no more than this. */
export const REQUEST_TIMEOUT_MS = 2000;
/** How long it is tried again while it has no leader: a cluster chooses a new one within 4 to 9 s. */
export const STORE_PATIENCE_MS = 10_000;
/** The time without an answer after which the overflow stream is tried too. */
export const OVERFLOW_AFTER_MS = 500;
/** How long a connection that is away is waited for before a question fails. */
export const AWAY_MS = 1500;
/** A message that failed this often is not going to succeed: about four minutes of pauses. */
export const MAX_DELIVERIES = 30;

/** Pauses between deliveries in ms: quick at first, since most retries wait for a write in flight. */
export const retryPauseMs = (deliveries: number): number => Math.min(50 * 2 ** (deliveries - 1), 10_000);
