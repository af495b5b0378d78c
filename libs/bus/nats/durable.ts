// A durable consumer of a stream, whose work is shared by all who name it.
import {
  AckPolicy,
  type ConsumerInfo,
  DeliverPolicy,
  type JetStreamClient,
  type JetStreamManager,
  nanos,
} from "nats";
import type { Log } from "../../runtime/log.ts";
import type { ConsumeOptions, Stop } from "../bus.ts";
import { ACK_WAIT_MS } from "../delivery-rules.ts";
import type { RawDelivery } from "../process-delivery.ts";
import type { ReconnectingConnection } from "./connection.ts";
import { pull } from "./pull.ts";

export interface Durable {
  readonly link: ReconnectingConnection;
  readonly js: JetStreamClient;
  readonly manager: JetStreamManager;
  readonly stream: string;
  readonly subjects: string;
  readonly options: ConsumeOptions;
  readonly take: (message: RawDelivery) => Promise<void>;
  readonly log: Log;
}

/** Makes the consumer if there is none, and takes from it until stopped. */
export async function takeFrom(durable: Durable): Promise<Stop> {
  const { link, options } = durable;
  const make = () => makeConsumer(durable);
  const info = await link.ask(`consuming ${durable.stream}`, make, true);
  return pull({
    link,
    consumer: durable.js.consumers.getPullConsumerFor(info),
    concurrency: options.concurrency,
    take: durable.take,
    remake: make,
    log: durable.log,
  });
}

function makeConsumer({ manager, stream, subjects, options }: Durable): Promise<ConsumerInfo> {
  return manager.consumers.add(stream, {
    durable_name: options.durable,
    ack_policy: AckPolicy.Explicit,
    deliver_policy: DeliverPolicy.All,
    ack_wait: nanos(ACK_WAIT_MS),
    // Never given up by the server: a message past its deliveries would stay stored and undeliverable.
    max_deliver: -1,
    max_ack_pending: 10_000,
    filter_subject: subjects,
  });
}
