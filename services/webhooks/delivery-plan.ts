// Plans the deliveries to one endpoint: which one comes next, and what follows from its result. Pure.
import type { WebhookLane, WebhookQueue } from "../../libs/contracts/webhooks/webhook.ts";

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;

/** The pauses before a message is sent again. The last one is repeated. */
const PAUSES_MS = [
  5 * SECOND_MS,
  30 * SECOND_MS,
  2 * MINUTE_MS,
  10 * MINUTE_MS,
  30 * MINUTE_MS,
  HOUR_MS,
  2 * HOUR_MS,
];
/** A message is given up when it fails after this time. */
export const GIVE_UP_MS = 24 * HOUR_MS;
/** The most messages in the plan. The others wait in the stream. */
export const WINDOW = 200;
/** The most concurrent deliveries to one endpoint. */
export const MAX_CONCURRENT = 8;
/** After this number of failures in a row the endpoint counts as down, and gets single probes. */
const DOWN_AFTER = 3;
/** The longest pause between tries while the endpoint is down, and the time after which a probe ignores the pauses. */
const DOWN_GAP_MAX_MS = MINUTE_MS;
const PROBE_MS = 5 * MINUTE_MS;
/** After this number of failures, while others succeed, a message no longer delays its session. */
const APART_AFTER = 4;
/** The most messages apart. Without it, an endpoint that rejects one event type would get no other for a day. */
const APART_MAX = WINDOW / 2;
/** The longest pause by an endpoint's Retry-After. */
const RETRY_AFTER_MAX_MS = HOUR_MS;

interface Lane {
  readonly key: string;
  readonly sequences: number[];
  tries: number;
  dueAtMs: number;
  /** The time of the first failure, and the number of deliveries until then. */
  failed: { readonly sinceMs: number; readonly deliveredBefore: number } | undefined;
  isSending: boolean;
}

export type Failed =
  | { readonly becomes: "failed"; readonly nextInMs: number }
  /** `isHopeless`: no delivery succeeded while this message was tried. */
  | { readonly becomes: "dead"; readonly isHopeless: boolean };

/** The messages of one endpoint that are being delivered. Times are on one process's monotonic clock, in ms. */
export class DeliveryPlan {
  readonly #lanes = new Map<string, Lane>();
  #cursor: number;
  #failures: number;
  #delivered: number;
  #triedAtMs = Number.NEGATIVE_INFINITY;
  #pausedUntilMs = Number.NEGATIVE_INFINITY;

  /** Continues the plan that the previous owner stored. Deliveries in progress are repeated. */
  constructor(stored: Pick<WebhookQueue, "cursor" | "lanes" | "failures" | "delivered">, nowMs: number) {
    this.#cursor = stored.cursor;
    this.#failures = stored.failures;
    this.#delivered = stored.delivered;
    for (const { key, sequences, tries, dueInMs, failedForMs, deliveredBefore } of stored.lanes) {
      const failed =
        failedForMs === undefined
          ? undefined
          : { sinceMs: nowMs - failedForMs, deliveredBefore: deliveredBefore ?? 0 };
      this.#lanes.set(key, {
        key,
        sequences: [...sequences],
        tries,
        dueAtMs: nowMs + dueInMs,
        failed,
        isSending: false,
      });
    }
  }

  get cursor(): number {
    return this.#cursor;
  }

  get failures(): number {
    return this.#failures;
  }

  get isEmpty(): boolean {
    return this.#lanes.size === 0;
  }

  /** The number of messages that may be added. */
  get room(): number {
    let held = 0;
    for (const { sequences } of this.#lanes.values()) held += sequences.length;
    return Math.max(0, WINDOW - held);
  }

  /** The sequences of all messages. */
  get sequences(): number[] {
    return [...this.#lanes.values()].flatMap(({ sequences }) => sequences);
  }

  /** Adds the next message of the stream, behind the others of its session. */
  add(sequence: number, of: string, nowMs: number): void {
    this.#cursor = sequence;
    const lane = this.#lanes.get(of);
    if (lane !== undefined) lane.sequences.push(sequence);
    else
      this.#lanes.set(of, {
        key: of,
        sequences: [sequence],
        tries: 0,
        dueAtMs: nowMs,
        failed: undefined,
        isSending: false,
      });
  }

  /** Removes a message that is no longer stored. */
  drop(sequence: number): void {
    for (const lane of this.#lanes.values()) {
      const index = lane.sequences.indexOf(sequence);
      if (index < 0) continue;
      lane.sequences.splice(index, 1);
      if (index === 0) this.#begin(lane, lane.dueAtMs);
      if (lane.sequences.length === 0) this.#lanes.delete(lane.key);
    }
  }

  /** The messages to send now. Each counts as being sent until `delivered` or `failed` is called. */
  due(nowMs: number): { key: string; sequence: number; tries: number }[] {
    const sending = [...this.#lanes.values()].filter(({ isSending }) => isSending).length;
    const free = this.#isDown ? 1 - sending : MAX_CONCURRENT - sending;
    if (free <= 0 || nowMs < this.#readyAtMs) return [];
    const next = this.#waiting()
      .filter(({ dueAtMs }) => dueAtMs <= nowMs || this.#isProbeDue(nowMs))
      // A new message is the best probe: an older failure may be the fault of its message.
      .sort((a, b) => (this.#isDown ? a.tries - b.tries : 0) || a.dueAtMs - b.dueAtMs)
      .slice(0, free);
    if (next.length > 0) this.#triedAtMs = nowMs;
    return next.map((lane) => {
      lane.isSending = true;
      return { key: lane.key, sequence: lane.sequences[0] as number, tries: lane.tries + 1 };
    });
  }

  /** When the next message may be due; undefined while none waits. */
  nextAtMs(nowMs: number): number | undefined {
    const waiting = this.#waiting();
    if (waiting.length === 0) return undefined;
    const dueAtMs = Math.min(...waiting.map((lane) => lane.dueAtMs));
    const atMs = this.#isDown ? Math.min(dueAtMs, this.#triedAtMs + PROBE_MS) : dueAtMs;
    return Math.max(nowMs, atMs, this.#readyAtMs);
  }

  /** The endpoint accepted a message. If it was down, all waiting messages become due. */
  delivered(key: string, nowMs: number): void {
    const lane = this.#lanes.get(key);
    if (lane === undefined) return;
    if (this.#isDown) {
      for (const other of this.#lanes.values()) if (!isApart(other.key)) other.dueAtMs = nowMs;
    }
    this.#failures = 0;
    this.#delivered += 1;
    this.#finishFirst(lane, nowMs);
  }

  /** The endpoint did not accept a message. @param retryAfterMs the pause that it asked for */
  failed(key: string, nowMs: number, retryAfterMs = 0): Failed {
    const lane = this.#lanes.get(key);
    if (lane === undefined) return { becomes: "dead", isHopeless: false };
    this.#failures += 1;
    lane.tries += 1;
    lane.isSending = false;
    lane.failed ??= { sinceMs: nowMs, deliveredBefore: this.#delivered };
    const askedMs = Math.min(retryAfterMs, RETRY_AFTER_MAX_MS);
    if (askedMs > 0) this.#pausedUntilMs = Math.max(this.#pausedUntilMs, nowMs + askedMs);
    const isHopeless = lane.failed.deliveredBefore === this.#delivered;
    if (nowMs - lane.failed.sinceMs >= GIVE_UP_MS) {
      this.#finishFirst(lane, nowMs);
      return { becomes: "dead", isHopeless };
    }
    const pauseMs = PAUSES_MS[Math.min(lane.tries, PAUSES_MS.length) - 1] as number;
    const nextInMs = Math.max(pauseMs, askedMs);
    lane.dueAtMs = nowMs + nextInMs;
    if (lane.tries >= APART_AFTER && !this.#isDown && !isApart(lane.key)) {
      if (this.#apart() >= APART_MAX) {
        this.#finishFirst(lane, nowMs);
        return { becomes: "dead", isHopeless: false };
      }
      this.#setApart(lane, nowMs);
    }
    return { becomes: "failed", nextInMs };
  }

  /** The plan for the store. Messages being sent count as waiting. */
  stored(nowMs: number): Pick<WebhookQueue, "cursor" | "lanes" | "failures" | "delivered"> {
    const lanes = [...this.#lanes.values()].map(
      ({ key, sequences, tries, dueAtMs, failed }): WebhookLane => ({
        key,
        sequences: [...sequences],
        tries,
        dueInMs: Math.max(0, Math.round(dueAtMs - nowMs)),
        ...(failed === undefined
          ? {}
          : { failedForMs: Math.round(nowMs - failed.sinceMs), deliveredBefore: failed.deliveredBefore }),
      }),
    );
    return { cursor: this.#cursor, lanes, failures: this.#failures, delivered: this.#delivered };
  }

  get #isDown(): boolean {
    return this.#failures >= DOWN_AFTER;
  }

  /** Nothing is sent before this time: the endpoint asked for a pause, or is down and was just tried. */
  get #readyAtMs(): number {
    if (!this.#isDown) return this.#pausedUntilMs;
    const gapMs = Math.min(DOWN_GAP_MAX_MS, SECOND_MS * 2 ** (this.#failures - DOWN_AFTER));
    return Math.max(this.#pausedUntilMs, this.#triedAtMs + gapMs);
  }

  /** A down endpoint gets a probe from messages that are not due, so that its recovery is noticed. */
  #isProbeDue(nowMs: number): boolean {
    return this.#isDown && nowMs - this.#triedAtMs >= PROBE_MS;
  }

  #waiting(): Lane[] {
    return [...this.#lanes.values()].filter(({ isSending }) => !isSending);
  }

  #apart(): number {
    return [...this.#lanes.keys()].filter(isApart).length;
  }

  /** Moves the first message into a lane of its own, so that the ones behind it continue. */
  #setApart(lane: Lane, nowMs: number): void {
    const [sequence, ...rest] = lane.sequences as [number, ...number[]];
    this.#lanes.delete(lane.key);
    const key = apartKey(lane.key, sequence);
    this.#lanes.set(key, { ...lane, key, sequences: [sequence] });
    if (rest.length > 0) {
      const next = { ...lane, sequences: rest };
      this.#begin(next, nowMs);
      this.#lanes.set(lane.key, next);
    }
  }

  /** Removes the first message of a lane. */
  #finishFirst(lane: Lane, nowMs: number): void {
    lane.sequences.shift();
    if (lane.sequences.length === 0) this.#lanes.delete(lane.key);
    else this.#begin(lane, nowMs);
  }

  #begin(lane: Lane, dueAtMs: number): void {
    lane.tries = 0;
    lane.failed = undefined;
    lane.isSending = false;
    lane.dueAtMs = dueAtMs;
  }
}

/** Session ids contain no slash. */
const apartKey = (key: string, sequence: number): string => `${key}/${sequence}`;
const isApart = (key: string): boolean => key.includes("/");
