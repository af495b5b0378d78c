// Reads a batch of stored messages from any replica of a stream (NATS ADR-31).
import { createInbox, ErrorCode, type Msg, NatsError } from "nats";
import { withResolvers } from "../../runtime/with-resolvers.ts";
import { REQUEST_TIMEOUT_MS } from "../delivery-rules.ts";
import type { ReconnectingConnection } from "./connection.ts";

export interface RawMessage {
  readonly sequence: number;
  readonly subject: string;
  readonly data: Uint8Array;
}

export interface DirectBatch {
  readonly messages: RawMessage[];
  /** The number of messages that follow these. */
  readonly pending: number;
}

/**
 * Sends one request. Every message is an answer of its own, and the last answer holds the number of messages
 * that follow. The client's own method does not know such requests, and takes an empty message for the end.
 */
export async function getDirect(
  link: ReconnectingConnection,
  stream: string,
  query: object,
): Promise<DirectBatch> {
  const { connection } = link;
  const batch = withResolvers<DirectBatch>();
  const inbox = createInbox(link.inboxPrefix);
  const collect = collectInto(batch);
  const subscription = connection.subscribe(inbox, {
    callback: (error, message) => (error === null ? collect(message) : batch.reject(error)),
  });
  const late = setTimeout(() => batch.reject(NatsError.errorForCode(ErrorCode.Timeout)), REQUEST_TIMEOUT_MS);
  try {
    connection.publish(`$JS.API.DIRECT.GET.${stream}`, JSON.stringify(query), { reply: inbox });
    return await batch.promise;
  } finally {
    clearTimeout(late);
    subscription.unsubscribe();
  }
}

const NO_RESPONDERS = 503;
const NOTHING_FOUND = 404;
const END_OF_BATCH = 204;

function collectInto(batch: ReturnType<typeof withResolvers<DirectBatch>>): (message: Msg) => void {
  const messages: RawMessage[] = [];
  return ({ headers, data }) => {
    const numberOf = (name: string) => Number(headers?.get(name) ?? 0);
    // Each answer names the one before it: a gap means that an answer was lost, and the batch is requested again.
    const isComplete = numberOf("Nats-Last-Sequence") === (messages.at(-1)?.sequence ?? 0);
    const code = headers?.code ?? 0;
    if (code === NO_RESPONDERS) batch.reject(NatsError.errorForCode(ErrorCode.NoResponders));
    else if (code === NOTHING_FOUND) batch.resolve({ messages: [], pending: 0 });
    else if (code !== 0 && code !== END_OF_BATCH) batch.reject(new Error(`${code} ${headers?.description}`));
    else if (!isComplete) batch.reject(NatsError.errorForCode(ErrorCode.Timeout));
    else if (code === END_OF_BATCH) batch.resolve({ messages, pending: numberOf("Nats-Num-Pending") });
    else
      messages.push({
        sequence: numberOf("Nats-Sequence"),
        subject: headers?.get("Nats-Subject") ?? "",
        data,
      });
  };
}
