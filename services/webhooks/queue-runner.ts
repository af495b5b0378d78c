// Delivers what waits for one endpoint, as long as this instance holds its queue.
import { webhookQueues } from "../../libs/contracts/buckets.ts";
import {
  isDisabled,
  type WebhookEndpoint,
  type WebhookQueue,
} from "../../libs/contracts/webhooks/webhook.ts";
import { isoNow, sleep } from "../../libs/runtime/clock.ts";
import { WakeableSleep } from "../../libs/runtime/wakeable-sleep.ts";
import { deliver, type Send } from "./deliver.ts";
import { type DeliveryLogDeps, deadLetterDelivery, howItFailed, logDelivery } from "./delivery-log.ts";
import { DeliveryPlan } from "./delivery-plan.ts";
import { type Held, PendingMessages } from "./pending-messages.ts";

export interface QueueRunnerDeps extends DeliveryLogDeps {
  readonly instance: string;
  readonly send: Send;
  readonly nextWriteId: () => string;
}

/** So often its owner writes the queue at least, by which others see that it lives. */
export const QUEUE_HEARTBEAT_MS = 10_000;
/** What was taken within this before a crash is sent once more, with the same id. */
const CHECKPOINT_MS = 1000;
/** How long the deliveries in hand may go on when the process is to end. */
const STOP_MS = 2000;
const GIVE_BACK_TRIES = 3;
/** How long after a failure of the store it is asked again. */
const STORE_PAUSE_MS = 1000;

interface Sending {
  readonly key: string;
  readonly sequence: number;
  readonly tries: number;
}

/** Holds one endpoint's queue until nothing waits in it, somebody else holds it, or it is told to stop. */
export class QueueRunner {
  readonly #deps: QueueRunnerDeps;
  readonly #endpoint: () => WebhookEndpoint | undefined;
  readonly #plan: DeliveryPlan;
  readonly #inHand: PendingMessages;
  readonly #doze: WakeableSleep;
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
  /** Something was put into the queue, or may have been, since the stream was last read. */
  #isHinted = true;

  constructor(
    deps: QueueRunnerDeps,
    endpoint: () => WebhookEndpoint | undefined,
    held: { readonly queue: WebhookQueue; readonly revision: number },
  ) {
    this.#deps = deps;
    this.#endpoint = endpoint;
    this.#stored = held.queue;
    this.#revision = held.revision;
    this.#storedAtMs = deps.clock.monotonic();
    this.#plan = new DeliveryPlan(held.queue, deps.clock.monotonic());
    this.#inHand = new PendingMessages(deps, this.#plan, held.queue);
    this.#doze = new WakeableSleep(deps.clock);
  }

  /** There may be more to deliver, or less. */
  wake(removed?: true): void {
    if (removed) this.#isDoubtful = true;
    this.#isHinted = true;
    this.#doze.wake();
  }

  /** Asks it to end; `run` answers when what it was sending is done. */
  stop(): void {
    this.#isStopping = true;
    this.#doze.wake();
  }

  /** @returns when the queue is given back, or was taken away */
  async run(): Promise<void> {
    let isHeld = true;
    while (isHeld) {
      const endpoint = this.#endpoint();
      if (endpoint === undefined || isDisabled(endpoint, this.#stored) || this.#isStopping) break;
      if (!this.#isRestored) await this.#trying(() => this.#restore());
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

  async #restore(): Promise<boolean> {
    await this.#inHand.restore();
    this.#isRestored = true;
    return true;
  }

  /** What the stream has after the cursor, as far as there is room for it. */
  async #load(): Promise<boolean> {
    do {
      this.#isHinted = false;
      const { count, mayBeMore } = await this.#inHand.readOn();
      if (count > 0) this.#isChanged = true;
      if (!mayBeMore) return true;
    } while (this.#plan.room > 0);
    // The rest is read when there is room again.
    this.#isHinted = true;
    return true;
  }

  async #dropRemoved(): Promise<void> {
    this.#isDoubtful = false;
    if (await this.#inHand.dropRemoved((sequence) => this.#inFlight.has(sequence))) this.#isChanged = true;
  }

  #startSending(endpoint: WebhookEndpoint): void {
    for (const { key, sequence, tries } of this.#plan.due(this.#deps.clock.monotonic())) {
      const held = this.#inHand.get(sequence);
      this.#inFlight.add(sequence);
      const work = this.#send(endpoint, { key, sequence, tries }, held)
        .catch((error: unknown) => this.#deps.log.error({ error }, "a delivery failed by a bug"))
        .finally(() => {
          this.#sending.delete(work);
          this.#inFlight.delete(sequence);
          this.#doze.wake();
        });
      this.#sending.add(work);
    }
  }

  async #send(endpoint: WebhookEndpoint, { key, sequence, tries }: Sending, held: Held): Promise<void> {
    const { clock } = this.#deps;
    const { message } = held;
    if (!(await this.#inHand.isStillStored(sequence, held))) {
      this.#inHand.drop(sequence);
      this.#isChanged = true;
      return;
    }
    const beganMs = clock.monotonic();
    const delivered = await deliver(this.#deps, endpoint, message);
    const nowMs = clock.monotonic();
    const tookMs = Math.round(nowMs - beganMs);
    this.#isChanged = true;
    if (delivered.outcome === "taken") {
      this.#plan.delivered(key, nowMs);
      this.#inHand.release(sequence);
      const how = { outcome: "delivered" as const, status: delivered.status, tookMs };
      await logDelivery(this.#deps, message, tries, how);
      return;
    }
    if (delivered.outcome === "gone") this.#disable(endpoint, delivered.reason);
    const retryAfterMs = delivered.outcome === "failed" ? (delivered.retryAfterMs ?? 0) : 0;
    const then = this.#plan.failed(key, nowMs, retryAfterMs);
    this.#stored = {
      ...this.#stored,
      lastFailure: { at: isoNow(clock), reason: delivered.reason.slice(0, 300) },
    };
    if (then.becomes === "dead") {
      if (then.isHopeless)
        this.#disable(endpoint, `nothing was taken for a day; at last ${delivered.reason}`);
      await deadLetterDelivery(this.#deps, sequence, message, tries, delivered.reason);
      this.#inHand.release(sequence);
    }
    await logDelivery(this.#deps, message, tries, howItFailed(delivered, then, tookMs));
  }

  #disable(endpoint: WebhookEndpoint, reason: string): void {
    this.#deps.log.warn({ webhook: endpoint.id, tenant: endpoint.tenant, reason }, "a webhook is disabled");
    const disabled = {
      generation: endpoint.generation,
      reason: reason.slice(0, 300),
      at: isoNow(this.#deps.clock),
    };
    this.#stored = { ...this.#stored, disabled };
  }

  #isSaveDue(): boolean {
    const sinceMs = this.#deps.clock.monotonic() - this.#storedAtMs;
    return sinceMs >= QUEUE_HEARTBEAT_MS || (this.#isChanged && sinceMs >= CHECKPOINT_MS);
  }

  /** @returns false when the queue is somebody else's by now */
  async #save(owner: string | undefined): Promise<boolean> {
    const { bus, clock, nextWriteId } = this.#deps;
    this.#isChanged = false;
    const { owner: _, ...rest } = this.#stored;
    const queue: WebhookQueue = {
      ...rest,
      ...this.#plan.stored(clock.monotonic()),
      ...(owner === undefined ? {} : { owner }),
      heartbeat: rest.heartbeat + 1,
      writeId: nextWriteId(),
    };
    this.#storedAtMs = clock.monotonic();
    const revision = await bus.kv.update(webhookQueues, queue, this.#revision);
    if (revision === undefined) return false;
    // What was noted in it while it was saved stays.
    this.#stored = { ...this.#stored, heartbeat: queue.heartbeat };
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
    const saveInMs = (this.#isChanged ? CHECKPOINT_MS : QUEUE_HEARTBEAT_MS) - (nowMs - this.#storedAtMs);
    const nextAtMs = this.#plan.nextAtMs(nowMs);
    const mayLoad = this.#isHinted && this.#plan.room > 0;
    const sendInMs = nextAtMs === undefined ? Number.POSITIVE_INFINITY : nextAtMs - nowMs;
    // All that may be sent at once is being sent: the end of one of them wakes it.
    const isFull = this.#sending.size > 0 && sendInMs <= 0;
    if (mayLoad) return;
    await this.#doze.sleep(Math.max(0, Math.min(saveInMs, isFull ? QUEUE_HEARTBEAT_MS : sendInMs)));
  }
}
