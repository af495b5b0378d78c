// Delivers the messages of one endpoint while this instance owns the endpoint's queue.
import type { Lease } from "../../libs/bus/lease.ts";
import {
  isDisabled,
  type WebhookEndpoint,
  type WebhookQueue,
} from "../../libs/contracts/webhooks/webhook.ts";
import { isoNow, sleep } from "../../libs/runtime/clock.ts";
import { WakeableSleep } from "../../libs/runtime/wakeable-sleep.ts";
import { deliver, type Send } from "./deliver.ts";
import { type DeliveryLogDeps, deadLetterDelivery, failedResult, logDelivery } from "./delivery-log.ts";
import { DeliveryPlan } from "./delivery-plan.ts";
import { type Held, PendingMessages } from "./pending-messages.ts";

export interface QueueRunnerDeps extends DeliveryLogDeps {
  readonly instance: string;
  readonly send: Send;
  readonly nextWriteId: () => string;
}

/** The owner writes a queue at least this often, which shows others that it is alive. */
export const QUEUE_HEARTBEAT_MS = 10_000;
/** After a crash, what was delivered within this time is sent once more, with the same id. */
const CHECKPOINT_MS = 1000;
/** How long deliveries in progress may take once the process stops. */
const STOP_MS = 2000;
const RELEASE_TRIES = 3;
const STORE_PAUSE_MS = 1000;

interface Sending {
  readonly key: string;
  readonly sequence: number;
  readonly tries: number;
}

/** Runs until the queue is empty, another instance owns it, the endpoint is removed or disabled, or `stop` is called. */
export class QueueRunner {
  readonly #deps: QueueRunnerDeps;
  readonly #endpoint: () => WebhookEndpoint | undefined;
  readonly #lease: Lease<WebhookQueue>;
  readonly #plan: DeliveryPlan;
  readonly #pending: PendingMessages;
  readonly #sleep: WakeableSleep;
  readonly #sending = new Set<Promise<void>>();
  readonly #inFlight = new Set<number>();
  /** Written with the next save. */
  #notes: Pick<WebhookQueue, "disabled" | "lastFailure"> = {};
  #savedAtMs: number;
  #isChanged = false;
  #isStopping = false;
  /** The messages that the earlier owner had in its plan are loaded. */
  #isRestored = false;
  /** Messages of the plan may have been removed from the stream. */
  #isDoubtful = false;
  /** Messages may have been stored since the stream was last read. */
  #isHinted = true;

  constructor(
    deps: QueueRunnerDeps,
    endpoint: () => WebhookEndpoint | undefined,
    lease: Lease<WebhookQueue>,
  ) {
    this.#deps = deps;
    this.#endpoint = endpoint;
    this.#lease = lease;
    this.#savedAtMs = deps.clock.monotonic();
    this.#plan = new DeliveryPlan(lease.record, deps.clock.monotonic());
    this.#pending = new PendingMessages(deps, this.#plan, lease.record);
    this.#sleep = new WakeableSleep(deps.clock);
  }

  /** Messages were stored, or removed. */
  wake(removed?: true): void {
    if (removed) this.#isDoubtful = true;
    this.#isHinted = true;
    this.#sleep.wake();
  }

  /** Makes `run` return once the deliveries in progress are done. */
  stop(): void {
    this.#isStopping = true;
    this.#sleep.wake();
  }

  /** Returns when the lease is released or lost. */
  async run(): Promise<void> {
    while (!this.#lease.isLost) {
      const endpoint = this.#endpoint();
      const queue = { ...this.#lease.record, ...this.#notes };
      if (endpoint === undefined || isDisabled(endpoint, queue) || this.#isStopping) break;
      if (!this.#isRestored) await this.#try(() => this.#restore());
      else if (this.#isHinted) await this.#try(() => this.#load());
      if (this.#isDoubtful) await this.#dropRemoved();
      if (this.#isRestored) this.#startSending(endpoint);
      if (this.#isSaveDue()) await this.#try(() => this.#save(this.#deps.instance));
      if (this.#lease.isLost || this.#isDone()) break;
      await this.#wait();
    }
    // The next owner sends what was not sent in time, with the same id.
    const ended = Promise.all(this.#sending);
    await (this.#isStopping ? Promise.race([ended, sleep(this.#deps.clock, STOP_MS)]) : ended);
    if (!this.#lease.isLost) await this.#release();
  }

  async #try(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      const { endpoint: webhook } = this.#lease.record;
      this.#deps.log.warn({ error, webhook, retrying: true }, "failed to read or write a webhook's queue");
      this.#isHinted = true;
      this.#isChanged = true;
      await sleep(this.#deps.clock, STORE_PAUSE_MS);
    }
  }

  async #restore(): Promise<void> {
    await this.#pending.restore();
    this.#isRestored = true;
  }

  /** Reads the messages after the cursor, as far as the plan has room. */
  async #load(): Promise<void> {
    do {
      this.#isHinted = false;
      const { count, mayBeMore } = await this.#pending.readOn();
      if (count > 0) this.#isChanged = true;
      if (!mayBeMore) return;
    } while (this.#plan.room > 0);
    this.#isHinted = true;
  }

  async #dropRemoved(): Promise<void> {
    this.#isDoubtful = false;
    if (await this.#pending.dropRemoved((sequence) => this.#inFlight.has(sequence))) this.#isChanged = true;
  }

  #startSending(endpoint: WebhookEndpoint): void {
    for (const { key, sequence, tries } of this.#plan.due(this.#deps.clock.monotonic())) {
      const held = this.#pending.get(sequence);
      this.#inFlight.add(sequence);
      const work = this.#send(endpoint, { key, sequence, tries }, held)
        .catch((error: unknown) => this.#deps.log.error({ error }, "a delivery failed unexpectedly"))
        .finally(() => {
          this.#sending.delete(work);
          this.#inFlight.delete(sequence);
          this.#sleep.wake();
        });
      this.#sending.add(work);
    }
  }

  async #send(endpoint: WebhookEndpoint, { key, sequence, tries }: Sending, held: Held): Promise<void> {
    const { clock } = this.#deps;
    const { message } = held;
    if (!(await this.#pending.isStillStored(sequence, held))) {
      this.#pending.drop(sequence);
      this.#isChanged = true;
      return;
    }
    const beganMs = clock.monotonic();
    const delivered = await deliver(this.#deps, endpoint, message);
    const nowMs = clock.monotonic();
    const tookMs = Math.round(nowMs - beganMs);
    this.#isChanged = true;
    if (delivered.outcome === "delivered") {
      this.#plan.delivered(key, nowMs);
      this.#pending.release(sequence);
      const result = { outcome: "delivered" as const, status: delivered.status, tookMs };
      await logDelivery(this.#deps, message, tries, result);
      return;
    }
    if (delivered.outcome === "gone") this.#disable(endpoint, delivered.reason);
    const retryAfterMs = delivered.outcome === "failed" ? (delivered.retryAfterMs ?? 0) : 0;
    const then = this.#plan.failed(key, nowMs, retryAfterMs);
    const lastFailure = { at: isoNow(clock), reason: delivered.reason.slice(0, 300) };
    this.#notes = { ...this.#notes, lastFailure };
    if (then.becomes === "dead") {
      if (then.isHopeless)
        this.#disable(endpoint, `No delivery succeeded for a day. The last failure: ${delivered.reason}`);
      await deadLetterDelivery(this.#deps, sequence, message, tries, delivered.reason);
      this.#pending.release(sequence);
    }
    await logDelivery(this.#deps, message, tries, failedResult(delivered, then, tookMs));
  }

  #disable({ id, tenant, generation }: WebhookEndpoint, reason: string): void {
    this.#deps.log.warn({ webhook: id, tenant, reason }, "disabled a webhook");
    const disabled = { generation, reason: reason.slice(0, 300), at: isoNow(this.#deps.clock) };
    this.#notes = { ...this.#notes, disabled };
  }

  #isSaveDue(): boolean {
    const sinceMs = this.#deps.clock.monotonic() - this.#savedAtMs;
    return sinceMs >= QUEUE_HEARTBEAT_MS || (this.#isChanged && sinceMs >= CHECKPOINT_MS);
  }

  async #save(owner: string | undefined): Promise<void> {
    const nowMs = this.#deps.clock.monotonic();
    this.#isChanged = false;
    this.#savedAtMs = nowMs;
    const isSaved = await this.#lease.save(
      (queue) => ({ ...queue, ...this.#notes, ...this.#plan.stored(nowMs), owner }) as WebhookQueue,
    );
    if (!isSaved) this.#isChanged = true;
  }

  #isDone(): boolean {
    return this.#isRestored && this.#plan.isEmpty && this.#sending.size === 0 && !this.#isHinted;
  }

  /**
   * Removes the owner, so that the next one need not wait. If that fails, what was delivered since the last save is
   * sent once more.
   */
  async #release(): Promise<void> {
    for (let tries = 1; tries <= RELEASE_TRIES; tries++) {
      try {
        await this.#save(undefined);
        return;
      } catch (error) {
        const { endpoint: webhook } = this.#lease.record;
        this.#deps.log.debug({ error, webhook }, "failed to release a webhook's queue");
        await sleep(this.#deps.clock, STORE_PAUSE_MS);
      }
    }
  }

  async #wait(): Promise<void> {
    const { clock } = this.#deps;
    const nowMs = clock.monotonic();
    const saveInMs = (this.#isChanged ? CHECKPOINT_MS : QUEUE_HEARTBEAT_MS) - (nowMs - this.#savedAtMs);
    const nextAtMs = this.#plan.nextAtMs(nowMs);
    const mayLoad = this.#isHinted && this.#plan.room > 0;
    const sendInMs = nextAtMs === undefined ? Number.POSITIVE_INFINITY : nextAtMs - nowMs;
    // As many deliveries as allowed are in progress: the end of one wakes the runner.
    const isFull = this.#sending.size > 0 && sendInMs <= 0;
    if (mayLoad) return;
    await this.#sleep.sleep(Math.max(0, Math.min(saveInMs, isFull ? QUEUE_HEARTBEAT_MS : sendInMs)));
  }
}
