// Holds the messages of a delivery plan: reads them from the stream, and checks old ones before they are sent.
import type { Bus } from "../../libs/bus/bus.ts";
import { webhooks } from "../../libs/contracts/streams.ts";
import type { WebhookMessage, WebhookQueue } from "../../libs/contracts/webhooks/webhook.ts";
import type { Clock } from "../../libs/runtime/clock.ts";
import type { DeliveryPlan } from "./delivery-plan.ts";

/** A message that was read this recently counts as stored. */
const FRESH_MS = 2000;
const PAGE = 100;

export interface Held {
  readonly message: WebhookMessage;
  readonly readAtMs: number;
}

/** Holds exactly the messages of the plan, by sequence. */
export class PendingMessages {
  readonly #deps: { readonly bus: Bus; readonly clock: Clock };
  readonly #plan: DeliveryPlan;
  readonly #subject: string;
  readonly #held = new Map<number, Held>();

  constructor(
    deps: { readonly bus: Bus; readonly clock: Clock },
    plan: DeliveryPlan,
    { tenant, endpoint }: Pick<WebhookQueue, "tenant" | "endpoint">,
  ) {
    this.#deps = deps;
    this.#plan = plan;
    this.#subject = `webhook.${tenant}.${endpoint}.>`;
  }

  /** @throws Error for a message that is not held, which would be a bug */
  get(sequence: number): Held {
    const held = this.#held.get(sequence);
    if (held === undefined) throw new Error(`Message ${sequence} is in the plan but not held.`);
    return held;
  }

  /** The message was delivered or given up, and the plan knows. */
  release(sequence: number): void {
    this.#held.delete(sequence);
  }

  drop(sequence: number): void {
    this.#plan.drop(sequence);
    this.#held.delete(sequence);
  }

  /** Reads the messages of the stored plan, and drops those that were removed. @throws GreenroomError storage_unavailable */
  async restore(): Promise<void> {
    for (const sequence of this.#plan.sequences.sort((a, b) => a - b)) {
      if (this.#held.has(sequence)) continue;
      const [found] = await this.#deps.bus.streams.read(webhooks, {
        subject: this.#subject,
        from: sequence,
        limit: 1,
      });
      if (found?.sequence === sequence) this.#hold(sequence, found.message);
      else this.#plan.drop(sequence);
    }
  }

  /**
   * Reads one page of messages after the cursor, as far as the plan has room.
   * @returns the number of messages, and whether there may be more
   * @throws GreenroomError storage_unavailable
   */
  async readOn(): Promise<{ readonly count: number; readonly mayBeMore: boolean }> {
    const limit = Math.min(this.#plan.room, PAGE);
    if (limit <= 0) return { count: 0, mayBeMore: true };
    const found = await this.#deps.bus.streams.read(webhooks, {
      subject: this.#subject,
      from: this.#plan.cursor + 1,
      limit,
    });
    for (const { sequence, message } of found) {
      this.#hold(sequence, message);
      this.#plan.add(sequence, laneOf(message), this.#deps.clock.monotonic());
    }
    return { count: found.length, mayBeMore: found.length === limit };
  }

  /**
   * Drops messages that were removed from the stream.
   * @param isBusy messages that are being sent stay, since their result decides
   * @returns whether there were any
   */
  async dropRemoved(isBusy: (sequence: number) => boolean): Promise<boolean> {
    let isChanged = false;
    for (const [sequence, { message }] of [...this.#held]) {
      if (isBusy(sequence) || (await this.#isStored(sequence, message))) continue;
      this.drop(sequence);
      isChanged = true;
    }
    return isChanged;
  }

  /** Whether a message is still stored. It may have waited for a day, and a removed one must not be sent. */
  async isStillStored(sequence: number, { message, readAtMs }: Held): Promise<boolean> {
    return this.#deps.clock.monotonic() - readAtMs <= FRESH_MS || this.#isStored(sequence, message);
  }

  #hold(sequence: number, message: WebhookMessage): void {
    this.#held.set(sequence, { message, readAtMs: this.#deps.clock.monotonic() });
  }

  async #isStored(sequence: number, message: WebhookMessage): Promise<boolean> {
    const subject = webhooks.subjectOf(message);
    const look = this.#deps.bus.streams.read(webhooks, { subject, from: sequence, limit: 1 });
    // Without an answer from the store, the message counts as stored.
    const [found] = await look.catch(() => [{ sequence }]);
    return found?.sequence === sequence;
  }
}

/** The events of a session are sent in order, and replays behind them. */
const laneOf = ({ about, of }: WebhookMessage): string => `${about}-${of}`;
