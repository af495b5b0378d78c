// Which delivery to one endpoint comes next, and what follows from how one went: no clock, no network, no store.
import type { WebhookLane, WebhookQueue } from "../../libs/contracts/webhooks/webhook.ts";

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;

/** Pauses before a message is sent again; the last one is repeated. */
const PAUSES_MS = [
  5 * SECOND_MS,
  30 * SECOND_MS,
  2 * MINUTE_MS,
  10 * MINUTE_MS,
  30 * MINUTE_MS,
  HOUR_MS,
  2 * HOUR_MS,
];
/** A message that fails when it has been tried for so long is given up. */
export const GIVE_UP_MS = 24 * HOUR_MS;
/** Messages in hand of one endpoint at most. The others wait in the stream. */
export const WINDOW = 200;
/** Sent to one endpoint at once, at most. */
export const AT_ONCE = 8;
/** After so many failures in a row the endpoint itself is taken for down, and is asked carefully. */
const DOWN_AFTER = 3;
/** An endpoint that is down is asked no more often than this, and at least so often. */
const DOWN_GAP_MAX_MS = MINUTE_MS;
const PROBE_MS = 5 * MINUTE_MS;
/** A message that failed so often, while others were taken, holds up its own session no longer. */
const APART_AFTER = 4;
/** So many of those at most; or an endpoint that refuses one kind of event would get no other for a day. */
const APART_MAX = WINDOW / 2;
/** An endpoint that asks for more patience than this is asked again all the same. */
const RETRY_AFTER_MAX_MS = HOUR_MS;

interface Lane {
  readonly key: string;
  readonly sequences: number[];
  tries: number;
  dueAtMs: number;
  /** When it first failed, and how many deliveries had been taken by then. */
  failed: { readonly sinceMs: number; readonly takenBefore: number } | undefined;
  isSending: boolean;
}

export type Failed =
  | { readonly becomes: "failed"; readonly nextInMs: number }
  /** `isHopeless`: nothing at all was taken for as long as this one was tried. */
  | { readonly becomes: "dead"; readonly isHopeless: boolean };

/** What is in hand for one endpoint. Times are of one process's monotonic clock, in ms. */
export class DeliveryPlan {
  readonly #lanes = new Map<string, Lane>();
  #cursor: number;
  #failures: number;
  #taken: number;
  #triedAtMs = Number.NEGATIVE_INFINITY;
  #pausedUntilMs = Number.NEGATIVE_INFINITY;

  /** Goes on from what the former owner stored. What it was sending is sent again. */
  constructor(stored: Pick<WebhookQueue, "cursor" | "lanes" | "failures" | "delivered">, nowMs: number) {
    this.#cursor = stored.cursor;
    this.#failures = stored.failures;
    this.#taken = stored.delivered;
    for (const {
      key,
      sequences,
      tries,
      dueInMs,
      failedForMs,
      deliveredBefore: takenBefore,
    } of stored.lanes) {
      const failed =
        failedForMs === undefined
          ? undefined
          : { sinceMs: nowMs - failedForMs, takenBefore: takenBefore ?? 0 };
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

  /** How many more messages may be taken in hand. */
  get room(): number {
    let held = 0;
    for (const { sequences } of this.#lanes.values()) held += sequences.length;
    return Math.max(0, WINDOW - held);
  }

  /** Every message in hand, by its place in the stream. */
  get sequences(): number[] {
    return [...this.#lanes.values()].flatMap(({ sequences }) => sequences);
  }

  /** Takes the next message of the stream in hand: it comes behind others of its session. */
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

  /** A message that is stored no more. */
  drop(sequence: number): void {
    for (const lane of this.#lanes.values()) {
      const index = lane.sequences.indexOf(sequence);
      if (index < 0) continue;
      lane.sequences.splice(index, 1);
      if (index === 0) this.#begin(lane, lane.dueAtMs);
      if (lane.sequences.length === 0) this.#lanes.delete(lane.key);
    }
  }

  /** What is to be sent now. Each is being sent from here on, until `took` or `failed` says how it went. */
  due(nowMs: number): { key: string; sequence: number; tries: number }[] {
    const sending = [...this.#lanes.values()].filter(({ isSending }) => isSending).length;
    const free = this.#isDown ? 1 - sending : AT_ONCE - sending;
    if (free <= 0 || nowMs < this.#readyAtMs) return [];
    const next = this.#waiting()
      .filter(({ dueAtMs }) => dueAtMs <= nowMs || this.#isProbeDue(nowMs))
      // What is new shows best whether the endpoint is well; what it refused before may be that message's own fault.
      .sort((a, b) => (this.#isDown ? a.tries - b.tries : 0) || a.dueAtMs - b.dueAtMs)
      .slice(0, free);
    if (next.length > 0) this.#triedAtMs = nowMs;
    return next.map((lane) => {
      lane.isSending = true;
      return { key: lane.key, sequence: lane.sequences[0] as number, tries: lane.tries + 1 };
    });
  }

  /** When there may be something to send next; undefined while nothing waits. */
  nextAtMs(nowMs: number): number | undefined {
    const waiting = this.#waiting();
    if (waiting.length === 0) return undefined;
    const dueAtMs = Math.min(...waiting.map((lane) => lane.dueAtMs));
    const atMs = this.#isDown ? Math.min(dueAtMs, this.#triedAtMs + PROBE_MS) : dueAtMs;
    return Math.max(nowMs, atMs, this.#readyAtMs);
  }

  /** The endpoint has it. One that was down is back: what waited for that waits no longer. */
  delivered(key: string, nowMs: number): void {
    const lane = this.#lanes.get(key);
    if (lane === undefined) return;
    if (this.#isDown) {
      for (const other of this.#lanes.values()) if (!isApart(other.key)) other.dueAtMs = nowMs;
    }
    this.#failures = 0;
    this.#taken += 1;
    this.#settle(lane, nowMs);
  }

  /** The endpoint doesn't have it. @param retryAfterMs what it asks to be given, all of it */
  failed(key: string, nowMs: number, retryAfterMs = 0): Failed {
    const lane = this.#lanes.get(key);
    if (lane === undefined) return { becomes: "dead", isHopeless: false };
    this.#failures += 1;
    lane.tries += 1;
    lane.isSending = false;
    lane.failed ??= { sinceMs: nowMs, takenBefore: this.#taken };
    const askedMs = Math.min(retryAfterMs, RETRY_AFTER_MAX_MS);
    if (askedMs > 0) this.#pausedUntilMs = Math.max(this.#pausedUntilMs, nowMs + askedMs);
    const isHopeless = lane.failed.takenBefore === this.#taken;
    if (nowMs - lane.failed.sinceMs >= GIVE_UP_MS) {
      this.#settle(lane, nowMs);
      return { becomes: "dead", isHopeless };
    }
    const pauseMs = PAUSES_MS[Math.min(lane.tries, PAUSES_MS.length) - 1] as number;
    const nextInMs = Math.max(pauseMs, askedMs);
    lane.dueAtMs = nowMs + nextInMs;
    if (lane.tries >= APART_AFTER && !this.#isDown && !isApart(lane.key)) {
      if (this.#apart() >= APART_MAX) {
        this.#settle(lane, nowMs);
        return { becomes: "dead", isHopeless: false };
      }
      this.#setApart(lane, nowMs);
    }
    return { becomes: "failed", nextInMs };
  }

  /** As it is stored: what is being sent counts as not sent yet. */
  stored(nowMs: number): Pick<WebhookQueue, "cursor" | "lanes" | "failures" | "delivered"> {
    const lanes = [...this.#lanes.values()].map(
      ({ key, sequences, tries, dueAtMs, failed }): WebhookLane => ({
        key,
        sequences: [...sequences],
        tries,
        dueInMs: Math.max(0, Math.round(dueAtMs - nowMs)),
        ...(failed === undefined
          ? {}
          : { failedForMs: Math.round(nowMs - failed.sinceMs), deliveredBefore: failed.takenBefore }),
      }),
    );
    return { cursor: this.#cursor, lanes, failures: this.#failures, delivered: this.#taken };
  }

  get #isDown(): boolean {
    return this.#failures >= DOWN_AFTER;
  }

  /** Before this nothing is sent: it asked for a pause, or it is down and was asked a moment ago. */
  get #readyAtMs(): number {
    if (!this.#isDown) return this.#pausedUntilMs;
    const gapMs = Math.min(DOWN_GAP_MAX_MS, SECOND_MS * 2 ** (this.#failures - DOWN_AFTER));
    return Math.max(this.#pausedUntilMs, this.#triedAtMs + gapMs);
  }

  /** An endpoint that is down is asked now and then by what isn't due yet, so that it is noticed when it is back. */
  #isProbeDue(nowMs: number): boolean {
    return this.#isDown && nowMs - this.#triedAtMs >= PROBE_MS;
  }

  #waiting(): Lane[] {
    return [...this.#lanes.values()].filter(({ isSending }) => !isSending);
  }

  #apart(): number {
    return [...this.#lanes.keys()].filter(isApart).length;
  }

  /** Those behind it go on without it. */
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

  /** Its first message is done with. */
  #settle(lane: Lane, nowMs: number): void {
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

/** No session's id has a slash in it. */
const apartKey = (key: string, sequence: number): string => `${key}/${sequence}`;
const isApart = (key: string): boolean => key.includes("/");
