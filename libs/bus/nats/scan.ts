// Reading stored messages in their order, a page at a time: from any replica, or one by one from the leader.
import { createInbox, ErrorCode, type JetStreamManager, type Msg, NatsError } from "nats";
import type { Channel } from "../../contracts/streams.ts";
import { type Resolvers, withResolvers } from "../../runtime/with-resolvers.ts";
import type { ScanOptions } from "../bus.ts";
import { REQUEST_TIMEOUT_MS } from "../delivery-rules.ts";
import type { ReconnectingConnection } from "./connection.ts";
import { isNotFound } from "./errors.ts";

export interface RawMessage {
  readonly sequence: number;
  readonly subject: string;
  readonly data: Uint8Array;
}

/** A part of what there is, and whether there is more after it. */
interface Part {
  readonly messages: readonly RawMessage[];
  readonly hasMore: boolean;
}

export interface Scanning {
  readonly link: ReconnectingConnection;
  readonly manager: JetStreamManager;
}

/**
 * The messages on some subjects after a sequence, oldest first, as many of them as `take` can use.
 *
 * @param take is given each message, and says whether it counts
 */
export async function scanStream<T>(
  scanning: Scanning,
  channel: Channel<T>,
  { subject, after = 0, limit }: ScanOptions,
  take: (message: RawMessage) => boolean,
): Promise<void> {
  const doing = `scanning ${channel.stream}`;
  const next = channel.allowDirect === true ? nextDirect : nextOfLeader;
  let from = after;
  let taken = 0;
  while (taken < limit) {
    const wanted = limit - taken;
    const part = await scanning.link.ask(
      doing,
      () => next(scanning, channel.stream, subject, from, wanted),
      true,
    );
    for (const message of part.messages) if (take(message)) taken += 1;
    if (!part.hasMore) return;
    from = part.messages.at(-1)?.sequence ?? from;
  }
}

/** A question for each message, of which the leader says what comes next on the subjects. */
async function nextOfLeader(
  { manager }: Scanning,
  stream: string,
  subject: string,
  after: number,
): Promise<Part> {
  try {
    // The client's types know the fields of such a question one at a time only.
    const query = { seq: after + 1, next_by_subj: subject } as { seq: number };
    const { seq, subject: at, data } = await manager.streams.getMessage(stream, query);
    return { messages: [{ sequence: seq, subject: at, data }], hasMore: true };
  } catch (error) {
    if (isNotFound(error)) return { messages: [], hasMore: false };
    throw error;
  }
}

/**
 * Two questions, to any replica.
 *
 * nats-server looks for as many messages as it is asked for, and if there are fewer it reads all the rest of the
 * stream to find that out, which takes long of a large one. So it is first asked for one message, which comes with
 * the number of those after it, and then for no more than there are. And since a page's last message leads to the next
 * page, that first one is sought from where the page before ended, where something is found at once.
 */
async function nextDirect(
  { link }: Scanning,
  stream: string,
  subject: string,
  after: number,
  wanted: number,
): Promise<Part> {
  const ask = (seq: number, batch: number) => askDirect(link, stream, { seq, next_by_subj: subject, batch });
  const first = await ask(Math.max(after, 1), 1);
  const [head] = first.messages;
  if (head === undefined) return { messages: [], hasMore: false };
  const begun = head.sequence > after ? [head] : [];
  const count = Math.min(wanted - begun.length, first.pending);
  if (count === 0) return { messages: begun, hasMore: first.pending > 0 };
  const rest = await ask(head.sequence + 1, count);
  const messages = [...begun, ...rest.messages];
  // Somebody may remove between two questions what the first one counted.
  return { messages, hasMore: rest.messages.length > 0 && first.pending > count };
}

interface DirectAnswer {
  readonly messages: RawMessage[];
  /** How many there are after these. */
  readonly pending: number;
}

/**
 * One question of NATS ADR-31. Each message that was found is an answer, and then comes one that says how many there
 * are after them. The client's own way to ask so knows no such question, and takes an empty message for the end.
 */
async function askDirect(link: ReconnectingConnection, stream: string, query: object): Promise<DirectAnswer> {
  const { connection } = link;
  const answer = withResolvers<DirectAnswer>();
  const inbox = createInbox(link.inboxPrefix);
  const hear = listenTo(answer);
  const subscription = connection.subscribe(inbox, {
    callback: (error, message) => (error === null ? hear(message) : answer.reject(error)),
  });
  const late = setTimeout(() => answer.reject(NatsError.errorForCode(ErrorCode.Timeout)), REQUEST_TIMEOUT_MS);
  try {
    connection.publish(`$JS.API.DIRECT.GET.${stream}`, JSON.stringify(query), { reply: inbox });
    return await answer.promise;
  } finally {
    clearTimeout(late);
    subscription.unsubscribe();
  }
}

const NO_RESPONDERS = 503;
const NOTHING_FOUND = 404;
const THE_END = 204;

function listenTo(answer: Resolvers<DirectAnswer>): (message: Msg) => void {
  const messages: RawMessage[] = [];
  return ({ headers, data }) => {
    const numberOf = (name: string) => Number(headers?.get(name) ?? 0);
    // Each says which one was before it: what got lost between two servers is asked for again.
    const isWhole = numberOf("Nats-Last-Sequence") === (messages.at(-1)?.sequence ?? 0);
    const code = headers?.code ?? 0;
    if (code === NO_RESPONDERS) answer.reject(NatsError.errorForCode(ErrorCode.NoResponders));
    else if (code === NOTHING_FOUND) answer.resolve({ messages: [], pending: 0 });
    else if (code !== 0 && code !== THE_END) answer.reject(new Error(`${code} ${headers?.description}`));
    else if (!isWhole) answer.reject(NatsError.errorForCode(ErrorCode.Timeout));
    else if (code === THE_END) answer.resolve({ messages, pending: numberOf("Nats-Num-Pending") });
    else
      messages.push({
        sequence: numberOf("Nats-Sequence"),
        subject: headers?.get("Nats-Subject") ?? "",
        data,
      });
  };
}
