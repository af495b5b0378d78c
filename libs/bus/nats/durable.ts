// A durable consumer of a stream, whose work is shared by all processes that use its name.
import {
  AckPolicy,
  type ConsumerConfig,
  type ConsumerInfo,
  DeliverPolicy,
  type JetStreamManager,
  nanos,
} from "nats";
import type { Stop } from "../bus.ts";
import { ACK_WAIT_MS } from "../delivery-rules.ts";
import { type DeliveryContext, processDelivery } from "../process-delivery.ts";
import type { JetStream } from "./connection.ts";
import { apiCode, storageError } from "./errors.ts";
import { pull } from "./pull.ts";

/** Creates the consumer if there is none, and processes its deliveries until stopped. */
export async function consumeDurable<T>(
  { link, js, manager, log }: JetStream,
  subjects: string,
  context: DeliveryContext<T>,
): Promise<Stop> {
  const { stream, options } = context;
  const config = {
    durable_name: options.durable,
    description: options.description,
    ack_policy: AckPolicy.Explicit,
    deliver_policy: DeliverPolicy.All,
    ack_wait: nanos(ACK_WAIT_MS),
    // The server never gives up: a message past its deliveries would stay stored and undeliverable.
    max_deliver: -1,
    max_ack_pending: 10_000,
    filter_subject: subjects,
  };
  const create = () => createOrUpdate(manager, stream, config);
  const doing = `consuming ${stream}`;
  const info = await link.ask(doing, create, true).catch((error: unknown) => {
    throw storageError(doing, error);
  });
  return pull({
    link,
    consumer: js.consumers.getPullConsumerFor(info),
    concurrency: options.concurrency,
    process: (message) => processDelivery(message, context),
    recreate: create,
    log,
  });
}

/** nats-server's answer to the creation of a consumer that exists with another configuration. */
const OTHER_CONFIGURATION = 10148;

/** An existing consumer of an earlier version gets the present configuration, and keeps its position. */
async function createOrUpdate(
  manager: JetStreamManager,
  stream: string,
  config: Partial<ConsumerConfig> & { durable_name: string },
): Promise<ConsumerInfo> {
  try {
    return await manager.consumers.add(stream, config);
  } catch (error) {
    if (apiCode(error) !== OTHER_CONFIGURATION) throw error;
    return await manager.consumers.update(stream, config.durable_name, config);
  }
}
