// Processes one delivery of a stored message: decodes it, calls the handler, and acks, naks or dead-letters it.
import { GreenroomError, messageOf } from "../contracts/errors.ts";
import type { DeadLetter } from "../contracts/fleet/pool.ts";
import type { Log } from "../runtime/log.ts";
import type { Ack, ConsumeOptions, Delivery } from "./bus.ts";
import { cut, textOf } from "./codec.ts";
import { MAX_DELIVERIES, retryPauseMs } from "./delivery-rules.ts";

/** A delivered message that is not yet decoded. */
export interface RawDelivery extends Delivery {
  readonly data: Uint8Array;
  /** True for the delete marker of a key. */
  readonly isDeleteMarker: boolean;
  ack(): void;
  /** Requests a redelivery after a pause. */
  nak(ms: number): void;
  /** Ends redelivery without success. */
  term(reason: string): void;
}

export interface DeliveryContext<T> {
  /** The name of the stream that delivers the message. */
  readonly stream: string;
  /** @throws Error that names the fault; the message becomes a dead letter */
  readonly decode: (message: RawDelivery) => T;
  readonly options: ConsumeOptions;
  readonly handle: (message: T, delivery: Delivery) => Promise<Ack>;
  /** Stores a dead letter. */
  readonly deadLetter: (letter: DeadLetter) => Promise<unknown>;
  readonly log: Log;
  readonly now: () => number;
}

/**
 * Handles one delivery and acks, naks or dead-letters the message. Never throws: if the connection is closed or the
 * store unavailable, the stream redelivers the message after the ack wait.
 */
export async function processDelivery<T>(message: RawDelivery, context: DeliveryContext<T>): Promise<void> {
  const { log, options } = context;
  const { sequence, deliveries } = message;
  const subject = cut(message.subject, 1000);
  try {
    const failure = await tryToHandle(message, context);
    if (failure === undefined) message.ack();
    else if (failure.isPermanent || deliveries >= (options.maxDeliveries ?? MAX_DELIVERIES)) {
      log.warn({ subject, reason: failure.reason, deliveries }, "a message became a dead letter");
      const at = new Date(context.now()).toISOString();
      await context.deadLetter({
        subject: message.subject,
        stream: context.stream,
        sequence,
        reason: failure.reason,
        deliveries,
        at,
        payload: textOf(message.data),
      });
      message.term(failure.reason.replace(/\s+/g, " "));
    } else message.nak(retryPauseMs(deliveries));
  } catch (error) {
    log.warn({ error, subject, deliveries, retrying: true }, "failed to acknowledge a message");
  }
}

/** @returns the failure, or undefined when the handler acked the message. */
async function tryToHandle<T>(
  message: RawDelivery,
  { decode, handle, log }: DeliveryContext<T>,
): Promise<{ reason: string; isPermanent: boolean } | undefined> {
  const { subject, sequence, deliveries } = message;
  let value: T;
  try {
    value = decode(message);
  } catch (error) {
    return { reason: messageOf(error), isPermanent: true };
  }
  try {
    const ack = await handle(value, { subject, sequence, deliveries });
    return ack === "ack" ? undefined : { reason: "too many deliveries", isPermanent: false };
  } catch (error) {
    log.error({ error, subject, deliveries }, "failed to handle a message");
    const isPermanent = error instanceof GreenroomError && !error.retryable;
    return { reason: cut(messageOf(error)), isPermanent };
  }
}
