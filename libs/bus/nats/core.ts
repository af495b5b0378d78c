// Core NATS: transient messages, requests and answers.
import { headers } from "nats";
import { GreenroomError, messageOf } from "../../contracts/errors.ts";
import type { Command, Topic } from "../../contracts/streams.ts";
import type { Log } from "../../runtime/log.ts";
import { withResolvers } from "../../runtime/with-resolvers.ts";
import type { Core, ServeOptions, Stop } from "../bus.ts";
import { decode, encode } from "../codec.ts";
import type { ReconnectingConnection } from "./connection.ts";
import { requestError } from "./errors.ts";

/** The client's own time-out comes later than ours. */
const LATE_MS = 5000;
/** The header of an answer that reports an error; its value is the error's message. */
const ERROR_HEADER = "Greenroom-Error";

export class NatsCore implements Core {
  readonly #connection: ReconnectingConnection["connection"];
  readonly #log: Log;

  constructor({ connection }: ReconnectingConnection, log: Log) {
    this.#connection = connection;
    this.#log = log;
  }

  publishTransient<T>(topic: Topic<T>, message: T): void {
    // The client buffers it while it reconnects: a late message is harmless, a thrown error is not.
    if (!this.#connection.isClosed()) this.#connection.publish(topic.subject, encode(message));
  }

  async subscribe<T>(topic: Topic<T>, handle: (message: T) => void): Promise<Stop> {
    const subscription = this.#connection.subscribe(topic.subject, {
      callback: (error, message) => {
        if (error !== null) return;
        try {
          handle(decode(topic.schema, message.data, message.subject));
        } catch (problem) {
          this.#log.warn(
            { error: problem, subject: message.subject },
            "failed to handle a transient message",
          );
        }
      },
    });
    return async () => subscription.unsubscribe();
  }

  async request<Q, A>(command: Command<Q, A>, host: string, request: Q): Promise<A> {
    const subject = command.subjectOf(host);
    try {
      const { timeoutMs } = command;
      const sent = this.#connection.request(subject, encode(request), { timeout: timeoutMs + LATE_MS });
      const answer = await withinTime(sent, timeoutMs, subject);
      const failure = answer.headers?.get(ERROR_HEADER);
      if (failure) throw new GreenroomError("internal", `${subject} failed: ${failure}`);
      return decodeAnswer(command, answer.data);
    } catch (error) {
      throw requestError(subject, error);
    }
  }

  async serve<Q, A>(
    command: Command<Q, A>,
    host: string,
    respond: (request: Q) => Promise<A>,
    { queue }: ServeOptions = {},
  ): Promise<Stop> {
    const running = new Set<Promise<void>>();
    const subscription = this.#connection.subscribe(command.subjectOf(host), {
      ...(queue === undefined ? {} : { queue }),
      callback: (error, message) => {
        if (error !== null) return;
        const work = (async () => {
          try {
            message.respond(encode(await respond(decode(command.request, message.data, message.subject))));
          } catch (problem) {
            this.#log.error({ error: problem, subject: message.subject }, "failed to execute a command");
            const failed = headers();
            failed.set(ERROR_HEADER, messageOf(problem).replace(/[\r\n]+/g, " "));
            message.respond(undefined, { headers: failed });
          }
        })().finally(() => running.delete(work));
        running.add(work);
      },
    });
    return async () => {
      subscription.unsubscribe();
      await Promise.all(running);
    };
  }
}

/**
 * Waits for an answer. A busy event loop fires a timer before it reads an answer that arrived earlier. So the time is
 * over only when the loop has read again.
 */
async function withinTime<T>(answer: Promise<T>, ms: number, subject: string): Promise<T> {
  const late = withResolvers<never>();
  const isLate = () => late.reject(new GreenroomError("timeout", `No answer on ${subject} in time.`));
  const timer = setTimeout(() => setImmediate(() => setImmediate(isLate)), ms);
  try {
    return await Promise.race([answer, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

function decodeAnswer<Q, A>(command: Command<Q, A>, data: Uint8Array): A {
  try {
    return decode(command.answer, data, `the answer to ${command.name}`);
  } catch (error) {
    throw new GreenroomError("internal", messageOf(error), { cause: error });
  }
}
