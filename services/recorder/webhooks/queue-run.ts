// Delivers what waits for one endpoint, as long as this recorder holds its queue.
import type { Bus } from "../../../libs/bus/bus.ts";
import { webhookQueues } from "../../../libs/contracts/buckets.ts";
import { deadLetters, webhookDeliveries, webhooks } from "../../../libs/contracts/channels.ts";
import {
  isDisabled,
  type WebhookDelivery,
  type WebhookEndpoint,
  type WebhookMessage,
  type WebhookQueue,
} from "../../../libs/contracts/webhook.ts";
import { type Clock, isoNow, sleep } from "../../../libs/process/clock.ts";
import type { Log } from "../../../libs/process/log.ts";
import { type Delivered, deliver, type Send } from "./deliver.ts";
import { DeliveryPlan, type Failed } from "./delivery-plan.ts";

export interface QueueRunDeps {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
  readonly instance: string;
  readonly send: Send;
  readonly nextOpId: () => string;
}

/** So often its owner writes the queue at least, by which others see that it lives. */
export const BEAT_MS = 10_000;
/** What was taken within this before a crash is sent once more, with the same id. */
const CHECKPOINT_MS = 1000;
/** How long the deliveries in hand may go on when the process is to end. */
const STOP_MS = 2000;
/** For so long what was read is taken for what is stored. */
const FRESH_MS = 2000;
const GIVE_BACK_TRIES = 3;
/** How long after a failure of the store it is asked again. */
const STORE_PAUSE_MS = 1000;

interface Sending {
  readonly key: string;
  readonly sequence: number;
  readonly tries: number;
  readonly message: WebhookMessage;
  readonly readAtMs: number;
}

/** Holds one endpoint's queue until nothing waits in it, somebody else holds it, or it is told to stop. */
export class QueueRun {
  readonly #deps: QueueRunDeps;
  readonly #endpoint: () => WebhookEndpoint | undefined;
  readonly #plan: DeliveryPlan;
  /** What is in hand, and when it was read. */
  readonly #messages = new Map<number, { readonly message: WebhookMessage; readonly readAtMs: number }>();
  readonly #sending = new Set<Promise<void>>();
  readonly #inFlight = new Set<number>();
  #stored: WebhookQueue;
  #revision: number;
  #storedAtMs: number;
  #isChanged = false;
  #isStopping = false;
  /** What the former owner had in hand is in hand again. */
  #isRestored = false;
  /** What is in hand may be stored no more. */
  #isDoubtful = false;
  #isWoken = false;
  #endSleep = () => {};
  /** Something was put into the queue, or may have been, since the stream was last read. */
  #isHinted = true;

  constructor(
    deps: QueueRunDeps,
    endpoint: () => WebhookEndpoint | undefined,
    held: { readonly queue: WebhookQueue; readonly revision: number },
  ) {
    this.#deps = deps;
    this.#endpoint = endpoint;
    this.#stored = held.queue;
    this.#revision = held.revision;
    this.#storedAtMs = deps.clock.monotonic();
    this.#plan = new DeliveryPlan(held.queue, deps.clock.monotonic());
  }

  /** There may be more to deliver, or less. */
  poke(removed?: true): void {
    if (removed) this.#isDoubtful = true;
    this.#isHinted = true;
    this.#wake();
  }

  /** Asks it to end; `run` answers when what it was sending is done. */
  stop(): void {
    this.#isStopping = true;
    this.#wake();
  }

  /** @returns when the queue is given back, or was taken away */
  async run(): Promise<void> {
    let isHeld = true;
    while (isHeld) {
      const endpoint = this.#endpoint();
      if (endpoint === undefined || isDisabled(endpoint, this.#stored) || this.#isStopping) break;
      if (!this.#isRestored) await this.#trying(() => this.#loadHeld());
      else if (this.#isHinted) await this.#trying(() => this.#load());
      if (this.#isDoubtful) await this.#dropRemoved();
      if (this.#isRestored) this.#startSending(endpoint);
      if (this.#isSaveDue()) isHeld = await this.#trying(() => this.#save(this.#deps.instance));
      if (isHeld && this.#isDone()) break;
      if (isHeld) await this.#wait();
    }
    // What is still being sent when the process has to end is sent again by the next owner, with the same id.
    const ended = Promise.all(this.#sending);
    await (this.#isStopping ? Promise.race([ended, sleep(this.#deps.clock, STOP_MS)]) : ended);
    if (isHeld) await this.#giveBack();
  }

  /** @returns false when the queue is somebody else's by now */
  async #trying(work: () => Promise<boolean>): Promise<boolean> {
    try {
      return await work();
    } catch (error) {
      this.#deps.log.warn({ error, webhook: this.#stored.endpoint }, "a webhook's queue is tried again");
      // Whichever it was, it isn't done.
      this.#isHinted = true;
      this.#isChanged = true;
      await sleep(this.#deps.clock, STORE_PAUSE_MS);
      return true;
    }
  }

  get #subject(): string {
    return `webhook.${this.#stored.tenant}.${this.#stored.endpoint}.>`;
  }

  /** What a former owner had in hand. What is stored no more is passed over. */
  async #loadHeld(): Promise<boolean> {
    for (const sequence of this.#plan.sequences.sort((a, b) => a - b)) {
      if (this.#messages.has(sequence)) continue;
      const [found] = await this.#deps.bus.scan(webhooks, {
        subject: this.#subject,
        after: sequence - 1,
        limit: 1,
      });
      if (found?.sequence === sequence) this.#hold(sequence, found.message);
      else this.#plan.drop(sequence);
    }
    this.#isRestored = true;
    return true;
  }

  #hold(sequence: number, message: WebhookMessage): void {
    this.#messages.set(sequence, { message, readAtMs: this.#deps.clock.monotonic() });
  }

  /** What the stream has after the cursor, as far as there is room for it. */
  async #load(): Promise<boolean> {
    while (this.#plan.room > 0) {
      this.#isHinted = false;
      const limit = Math.min(this.#plan.room, 100);
      const found = await this.#deps.bus.scan(webhooks, {
        subject: this.#subject,
        after: this.#plan.cursor,
        limit,
      });
      for (const { sequence, message } of found) {
        this.#hold(sequence, message);
        this.#plan.add(sequence, laneOf(message), this.#deps.clock.monotonic());
        this.#isChanged = true;
      }
      if (found.length < limit) return true;
    }
    // The rest is read when there is room again.
    this.#isHinted = true;
    return true;
  }

  /** What is being sent is left alone: how that goes decides about it. */
  async #dropRemoved(): Promise<void> {
    this.#isDoubtful = false;
    for (const [sequence, { message }] of [...this.#messages]) {
      if (this.#inFlight.has(sequence) || (await this.#isStored(sequence, message))) continue;
      this.#drop(sequence);
    }
  }

  #drop(sequence: number): void {
    this.#plan.drop(sequence);
    this.#messages.delete(sequence);
    this.#isChanged = true;
  }

  #startSending(endpoint: WebhookEndpoint): void {
    for (const { key, sequence, tries } of this.#plan.due(this.#deps.clock.monotonic())) {
      const held = this.#messages.get(sequence);
      if (held === undefined) throw new Error(`the message ${sequence} is in the plan and not in hand`);
      this.#inFlight.add(sequence);
      const work = this.#send(endpoint, { key, sequence, tries, ...held })
        .catch((error: unknown) => this.#deps.log.error({ error }, "a delivery failed by a bug"))
        .finally(() => {
          this.#sending.delete(work);
          this.#inFlight.delete(sequence);
          this.#wake();
        });
      this.#sending.add(work);
    }
  }

  async #send(
    endpoint: WebhookEndpoint,
    { key, sequence, tries, message, readAtMs }: Sending,
  ): Promise<void> {
    const { clock } = this.#deps;
    // It may have waited for a day: what was removed meanwhile isn't sent any more.
    if (clock.monotonic() - readAtMs > FRESH_MS && !(await this.#isStored(sequence, message))) {
      this.#drop(sequence);
      return;
    }
    const beganMs = clock.monotonic();
    const delivered = await deliver(this.#deps, endpoint, message);
    const nowMs = clock.monotonic();
    const tookMs = Math.round(nowMs - beganMs);
    this.#isChanged = true;
    if (delivered.outcome === "taken") {
      this.#plan.took(key, nowMs);
      this.#messages.delete(sequence);
      await this.#note(message, tries, { outcome: "delivered", status: delivered.status, tookMs });
      return;
    }
    if (delivered.outcome === "gone") this.#disable(endpoint, delivered.why);
    const retryAfterMs = delivered.outcome === "failed" ? (delivered.retryAfterMs ?? 0) : 0;
    const then = this.#plan.failed(key, nowMs, retryAfterMs);
    this.#stored = {
      ...this.#stored,
      lastFailure: { at: isoNow(clock), why: delivered.why.slice(0, 300) },
    };
    if (then.becomes === "dead") {
      if (then.isHopeless) this.#disable(endpoint, `nothing was taken for a day; at last ${delivered.why}`);
      await this.#bury(sequence, message, tries, delivered.why);
      this.#messages.delete(sequence);
    }
    await this.#note(message, tries, outcomeOf(delivered, then, tookMs));
  }

  async #isStored(sequence: number, message: WebhookMessage): Promise<boolean> {
    const subject = webhooks.subjectOf(message);
    const look = this.#deps.bus.scan(webhooks, { subject, after: sequence - 1, limit: 1 });
    // A store that doesn't answer says nothing against it.
    const [found] = await look.catch(() => [{ sequence }]);
    return found?.sequence === sequence;
  }

  #disable(endpoint: WebhookEndpoint, why: string): void {
    this.#deps.log.warn({ webhook: endpoint.id, tenant: endpoint.tenant, why }, "a webhook is disabled");
    const disabled = {
      generation: endpoint.generation,
      why: why.slice(0, 300),
      at: isoNow(this.#deps.clock),
    };
    this.#stored = { ...this.#stored, disabled };
  }

  async #bury(sequence: number, message: WebhookMessage, tries: number, why: string): Promise<void> {
    const { bus, clock, log } = this.#deps;
    await bus
      .publish(deadLetters, {
        subject: webhooks.subjectOf(message),
        stream: webhooks.stream,
        sequence,
        reason: `it could not be delivered: ${why}`,
        deliveries: tries,
        at: isoNow(clock),
        payload: JSON.stringify(message.event).slice(0, 16_384),
      })
      .catch((error: unknown) => log.warn({ error, event: message.event.id }, "a dead letter is lost"));
  }

  async #note(
    { tenant, endpoint, of, event, replay }: WebhookMessage,
    tries: number,
    how: Pick<WebhookDelivery, "outcome" | "status" | "why" | "tookMs" | "nextInMs">,
  ): Promise<void> {
    const { bus, clock, log } = this.#deps;
    const { id: eventId, type, sequence } = event;
    const at = isoNow(clock);
    await bus
      .publish(webhookDeliveries, {
        ...{ tenant, endpoint, of, eventId, type, sequence, tries, at },
        ...(replay === undefined ? {} : { replay }),
        ...how,
      })
      .catch((error: unknown) => log.debug({ error, event: eventId }, "a delivery is not listed"));
  }

  #isSaveDue(): boolean {
    const sinceMs = this.#deps.clock.monotonic() - this.#storedAtMs;
    return sinceMs >= BEAT_MS || (this.#isChanged && sinceMs >= CHECKPOINT_MS);
  }

  /** @returns false when the queue is somebody else's by now */
  async #save(owner: string | undefined): Promise<boolean> {
    const { bus, clock, nextOpId } = this.#deps;
    this.#isChanged = false;
    const { owner: _, ...rest } = this.#stored;
    const queue: WebhookQueue = {
      ...rest,
      ...this.#plan.stored(clock.monotonic()),
      ...(owner === undefined ? {} : { owner }),
      beat: rest.beat + 1,
      opId: nextOpId(),
    };
    this.#storedAtMs = clock.monotonic();
    const revision = await bus.save(webhookQueues, queue, this.#revision);
    if (revision === undefined) return false;
    // What was noted in it while it was saved stays.
    this.#stored = { ...this.#stored, beat: queue.beat };
    this.#revision = revision;
    return true;
  }

  #isDone(): boolean {
    return this.#isRestored && this.#plan.isEmpty && this.#sending.size === 0 && !this.#isHinted;
  }

  /**
   * Without an owner: the next one goes on from there. If that can't be stored, what was taken since the last time is
   * sent once more. A queue whose endpoint is gone is removed by its keeper.
   */
  async #giveBack(): Promise<void> {
    for (let tries = 1; tries <= GIVE_BACK_TRIES; tries++) {
      try {
        await this.#save(undefined);
        return;
      } catch (error) {
        this.#deps.log.debug({ error, webhook: this.#stored.endpoint }, "a queue could not be given back");
        await sleep(this.#deps.clock, STORE_PAUSE_MS);
      }
    }
  }

  async #wait(): Promise<void> {
    const { clock } = this.#deps;
    const nowMs = clock.monotonic();
    const saveInMs = (this.#isChanged ? CHECKPOINT_MS : BEAT_MS) - (nowMs - this.#storedAtMs);
    const nextAtMs = this.#plan.nextAtMs(nowMs);
    const mayLoad = this.#isHinted && this.#plan.room > 0;
    const sendInMs = nextAtMs === undefined ? Number.POSITIVE_INFINITY : nextAtMs - nowMs;
    // All that may be sent at once is being sent: the end of one of them wakes it.
    const isFull = this.#sending.size > 0 && sendInMs <= 0;
    if (mayLoad) return;
    await this.#sleep(Math.max(0, Math.min(saveInMs, isFull ? BEAT_MS : sendInMs)));
  }

  #wake(): void {
    this.#isWoken = true;
    this.#endSleep();
  }

  /** Until it is woken, also by what happened just before. */
  async #sleep(ms: number): Promise<void> {
    if (!this.#isWoken) {
      await new Promise<void>((resolve) => {
        const cancel = this.#deps.clock.after(ms, resolve);
        this.#endSleep = () => {
          cancel();
          resolve();
        };
      });
    }
    this.#isWoken = false;
  }
}

/** A session's events go one after the other; so does what is repeated, behind them. */
const laneOf = ({ about, of }: WebhookMessage): string => `${about}-${of}`;

const outcomeOf = (
  delivered: Exclude<Delivered, { outcome: "taken" }>,
  then: Failed,
  tookMs: number,
): Pick<WebhookDelivery, "outcome" | "status" | "why" | "tookMs" | "nextInMs"> => ({
  outcome: then.becomes,
  ...(delivered.status === undefined ? {} : { status: delivered.status }),
  why: delivered.why.slice(0, 300),
  tookMs,
  ...(then.becomes === "failed" ? { nextInMs: then.nextInMs } : {}),
});
