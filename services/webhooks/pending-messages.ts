// The messages that a queue's owner has in hand: read from the stream, and looked up again when they waited for long.
import type { Bus } from "../../libs/bus/bus.ts";
import { webhooks } from "../../libs/contracts/streams.ts";
import type { WebhookMessage, WebhookQueue } from "../../libs/contracts/webhooks/webhook.ts";
import type { Clock } from "../../libs/runtime/clock.ts";
import type { DeliveryPlan } from "./delivery-plan.ts";

/** For so long what was read is taken for what is stored. */
const FRESH_MS = 2000;
const PAGE = 100;

export interface Held {
  readonly message: WebhookMessage;
  readonly readAtMs: number;
}

/** Holds exactly what is in the plan, by its place in the stream. */
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

  /** @throws Error for what is in the plan and not in hand, which would be a bug */
  get(sequence: number): Held {
    const held = this.#held.get(sequence);
    if (held === undefined) throw new Error(`the message ${sequence} is in the plan and not in hand`);
    return held;
  }

  /** It was delivered, or given up; the plan knows. */
  release(sequence: number): void {
    this.#held.delete(sequence);
  }

  drop(sequence: number): void {
    this.#plan.drop(sequence);
    this.#held.delete(sequence);
  }

  /** What a former owner had in hand. What is stored no more is passed over. @throws GreenroomError storage_unavailable */
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
   * Reads on behind the cursor, a page at the most and no more than there is room for.
   * @returns how many were read, and whether there may be more
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
   * Drops what was removed from the stream meanwhile.
   * @param isBusy what is being sent is left alone: how that goes decides about it
   * @returns whether there was any
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

  /** It may have waited for a day: what was removed meanwhile isn't to be sent any more. */
  async isStillStored(sequence: number, { message, readAtMs }: Held): Promise<boolean> {
    return this.#deps.clock.monotonic() - readAtMs <= FRESH_MS || this.#isStored(sequence, message);
  }

  #hold(sequence: number, message: WebhookMessage): void {
    this.#held.set(sequence, { message, readAtMs: this.#deps.clock.monotonic() });
  }

  async #isStored(sequence: number, message: WebhookMessage): Promise<boolean> {
    const subject = webhooks.subjectOf(message);
    const look = this.#deps.bus.streams.read(webhooks, { subject, from: sequence, limit: 1 });
    // A store that doesn't answer says nothing against it.
    const [found] = await look.catch(() => [{ sequence }]);
    return found?.sequence === sequence;
  }
}

/** A session's events go one after the other; so does what is repeated, behind them. */
const laneOf = ({ about, of }: WebhookMessage): string => `${about}-${of}`;
