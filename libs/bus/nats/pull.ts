// Pulls the messages of one consumer, through the deaths of its leaders.
import type { Consumer, ConsumerMessages, JsMsg } from "nats";
import type { Log } from "../../runtime/log.ts";
import { withResolvers } from "../../runtime/with-resolvers.ts";
import type { Stop } from "../bus.ts";
import { WORKING_MS } from "../delivery-rules.ts";
import type { RawDelivery } from "../process-delivery.ts";
import type { ReconnectingConnection } from "./connection.ts";
import { isDeleteMarker } from "./delete-markers.ts";

/**
 * A request for messages ends after this time, and is sent again. NATS requires at least two heartbeats. Until then a
 * frozen process gets messages that another one could process.
 */
const expiresMs = (heartbeatMs: number): number => Math.max(5000, 2 * heartbeatMs);
const AGAIN_MS = 250;
/** Failures in a row after which the consumer is created again, in case it is gone. */
const FAILURES = 8;

export interface Pulling {
  readonly link: ReconnectingConnection;
  readonly consumer: Consumer;
  /** The most messages that are processed at a time. */
  readonly concurrency: number;
  readonly process: (message: RawDelivery) => Promise<void>;
  /** Creates the consumer if there is none. */
  readonly recreate: () => Promise<unknown>;
  readonly log: Log;
}

/**
 * Pulls until stopped.
 *
 * The client's `consume()` does not fit: it requests messages while all slots are busy. After the death of the
 * consumer's leader it waits for an answer that no server sends. Here a pull without a heartbeat is sent again
 * (`bind`), until a leader receives it.
 */
export function pull(pulling: Pulling): Stop {
  const { link, consumer, log } = pulling;
  const slots = createSlots(pulling.concurrency, pulling.process);
  let current: ConsumerMessages | undefined;
  let stopped = false;
  let failures = 0;
  const isOver = () => stopped || link.connection.isClosed();
  const onFailure = async (error: unknown) => {
    failures += 1;
    const text = "failed to pull messages";
    // A consumer that was just created has no leader for a moment.
    if (failures === FAILURES) log.info({ error, failures, retrying: true }, text);
    else log.debug({ error, failures, retrying: true }, text);
    if (failures % FAILURES === 0 && link.isConnected) {
      void pulling.recreate().catch((problem: unknown) => {
        log.warn({ error: problem }, "failed to reach a consumer");
      });
    }
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  };
  const loop = async () => {
    while (!isOver()) {
      const free = await slots.someFree();
      if (isOver()) return;
      try {
        current = await consumer.fetch({
          max_messages: free,
          expires: expiresMs(link.heartbeatMs),
          idle_heartbeat: link.heartbeatMs,
          bind: true,
        });
        for await (const message of current) slots.run(message);
        failures = 0;
      } catch (error) {
        if (!isOver()) await onFailure(error);
      }
    }
  };
  void loop();
  return async () => {
    stopped = true;
    current?.stop();
    await slots.allDone();
  };
}

/** Processes at most `size` messages at a time. */
function createSlots(size: number, process: (message: RawDelivery) => Promise<void>) {
  const running = new Set<Promise<void>>();
  const waiting: (() => void)[] = [];
  let busy = 0;
  let freed = withResolvers<void>();
  const start = (work: () => Promise<void>) => {
    busy += 1;
    const job = work().finally(() => {
      running.delete(job);
      busy -= 1;
      waiting.shift()?.();
      freed.resolve();
      freed = withResolvers<void>();
    });
    running.add(job);
  };
  return {
    async someFree(): Promise<number> {
      while (busy >= size) await freed.promise;
      return size - busy;
    },
    /** After a reconnection the server may send more than was requested: the surplus waits, and is kept alive. */
    run(message: JsMsg): void {
      const working = setInterval(() => message.working(), WORKING_MS);
      const work = () => process(rawDelivery(message)).finally(() => clearInterval(working));
      if (busy < size) start(work);
      else waiting.push(() => start(work));
    },
    async allDone(): Promise<void> {
      while (running.size > 0) await Promise.all(running);
    },
  };
}

const rawDelivery = (message: JsMsg): RawDelivery => ({
  subject: message.subject,
  sequence: message.seq,
  data: message.data,
  isDeleteMarker: isDeleteMarker(message.headers),
  deliveries: message.info.deliveryCount,
  ack: () => message.ack(),
  nak: (ms) => message.nak(ms),
  term: (reason) => message.term(reason),
});
