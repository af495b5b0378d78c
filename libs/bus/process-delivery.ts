// One delivery of a stored message, from its decoding to the word that settles it.
import { GreenroomError, messageOf } from "../contracts/errors.ts";
import type { DeadLetter } from "../contracts/fleet/pool.ts";
import type { Log } from "../runtime/log.ts";
import type { ConsumeOptions, Delivery, Verdict } from "./bus.ts";
import { cut, textOf } from "./codec.ts";
import { MAX_DELIVERIES, retryPauseMs } from "./delivery-rules.ts";

/** A message in hand, whatever carried it. */
export interface RawDelivery extends Delivery {
  readonly data: Uint8Array;
  /** It is the mark that the deletion of a key leaves in a bucket. */
  readonly isMark: boolean;
  /** Handled; never delivered again. */
  ack(): void;
  /** To be delivered again after a pause. */
  retryAfter(ms: number): void;
  /** Given up; never delivered again. */
  giveUp(reason: string): void;
}

export interface DeliveryContext<T> {
  /** The name of the stream that it comes from. */
  readonly stream: string;
  /** What the message says. @throws Error that says what is wrong with it, and it is buried */
  readonly read: (message: RawDelivery) => T;
  readonly options: ConsumeOptions;
  readonly handle: (message: T, delivery: Delivery) => Promise<Verdict>;
  /** Stores a dead letter. */
  readonly bury: (letter: DeadLetter) => Promise<unknown>;
  readonly log: Log;
  readonly now: () => number;
}

/**
 * Handles one delivery and says what becomes of the message. It never throws: what can't be said, because
 * the connection is closed or the store is away, is made good by the next delivery after the ack wait.
 */
export async function processDelivery<T>(message: RawDelivery, settling: DeliveryContext<T>): Promise<void> {
  const { log, options } = settling;
  const { sequence, deliveries } = message;
  const subject = cut(message.subject, 1000);
  try {
    const failure = await tryToHandle(message, settling);
    if (failure === undefined) message.ack();
    else if (failure.isFinal || deliveries >= (options.maxDeliveries ?? MAX_DELIVERIES)) {
      log.warn({ subject, reason: failure.reason, deliveries }, "a message went to the dead letters");
      const at = new Date(settling.now()).toISOString();
      await settling.bury({
        subject: message.subject,
        stream: settling.stream,
        sequence,
        reason: failure.reason,
        deliveries,
        at,
        payload: textOf(message.data),
      });
      message.giveUp(failure.reason.replace(/\s+/g, " "));
    } else message.retryAfter(retryPauseMs(deliveries));
  } catch (error) {
    log.warn({ error, subject, deliveries }, "a message could not be settled; it comes again");
  }
}

/** @returns why it failed, or undefined when it is done. */
async function tryToHandle<T>(
  message: RawDelivery,
  { read, handle, log }: DeliveryContext<T>,
): Promise<{ reason: string; isFinal: boolean } | undefined> {
  const { subject, sequence, deliveries } = message;
  let value: T;
  try {
    value = read(message);
  } catch (error) {
    return { reason: messageOf(error), isFinal: true };
  }
  try {
    const verdict = await handle(value, { subject, sequence, deliveries });
    return verdict === "done" ? undefined : { reason: "it was tried too often", isFinal: false };
  } catch (error) {
    log.error({ error, subject, deliveries }, "handling a message failed");
    const isFinal = error instanceof GreenroomError && !error.retryable;
    return { reason: cut(messageOf(error)), isFinal };
  }
}
