// Pulling the messages of one consumer, as many at once as there are hands, through the deaths of its leaders.
import type { Consumer, ConsumerMessages, JsMsg } from "nats";
import type { Log } from "../../runtime/log.ts";
import { withResolvers } from "../../runtime/with-resolvers.ts";
import type { Stop } from "../bus.ts";
import { WORKING_MS } from "../delivery-rules.ts";
import type { RawDelivery } from "../process-delivery.ts";
import type { ReconnectingConnection } from "./connection.ts";
import { isDeleteMarker } from "./delete-markers.ts";

const EXPIRES_MS = 5000;
const HEARTBEAT_MS = 1000;
const AGAIN_MS = 250;
/** After so many failures in a row it is looked whether the consumer is still there. */
const FAILURES = 8;

export interface Pulling {
  readonly link: ReconnectingConnection;
  readonly consumer: Consumer;
  /** Messages in hand at once, at most. */
  readonly concurrency: number;
  readonly take: (message: RawDelivery) => Promise<void>;
  /** Makes the consumer, if there is none. */
  readonly remake: () => Promise<unknown>;
  readonly log: Log;
}

/**
 * Pulls until stopped.
 *
 * The client's `consume()` isn't used: it would go on asking while all hands are full, and when the leader of
 * the consumer dies it asks what became of it, and waits for an answer that nobody can give. Here a pull
 * without a sign of life is simply made again (`bind`), until some leader hears it.
 */
export function pull(pulling: Pulling): Stop {
  const { link, consumer, log } = pulling;
  const slots = createSlots(pulling.concurrency, pulling.take);
  let current: ConsumerMessages | undefined;
  let stopped = false;
  let failures = 0;
  const isOver = () => stopped || link.connection.isClosed();
  const onFailure = async (error: unknown) => {
    failures += 1;
    const words = "consuming stopped; it is tried again";
    // A consumer that was just made has no leader for a moment.
    if (failures === FAILURES) log.info({ error, failures }, words);
    else log.debug({ error, failures }, words);
    if (failures % FAILURES === 0 && link.isConnected) {
      void pulling.remake().catch((problem: unknown) => {
        log.warn({ error: problem }, "a consumer can't be reached");
      });
    }
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  };
  const loop = async () => {
    while (!isOver()) {
      // Asked for as many as there are free hands.
      const free = await slots.someFree();
      if (isOver()) return;
      try {
        current = await consumer.fetch({
          max_messages: free,
          expires: EXPIRES_MS,
          idle_heartbeat: HEARTBEAT_MS,
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

/** The messages in hand: never more at work than there are slots. */
function createSlots(size: number, take: (message: RawDelivery) => Promise<void>) {
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
    /** After a reconnection the server may send more than was asked for: those wait, and are kept alive. */
    run(message: JsMsg): void {
      const working = setInterval(() => message.working(), WORKING_MS);
      const work = () => take(inHand(message)).finally(() => clearInterval(working));
      if (busy < size) start(work);
      else waiting.push(() => start(work));
    },
    async allDone(): Promise<void> {
      while (running.size > 0) await Promise.all(running);
    },
  };
}

const inHand = (message: JsMsg): RawDelivery => ({
  subject: message.subject,
  sequence: message.seq,
  data: message.data,
  isMark: isDeleteMarker(message.headers),
  deliveries: message.info.deliveryCount,
  ack: () => message.ack(),
  retryAfter: (ms) => message.nak(ms),
  giveUp: (reason) => message.term(reason),
});
