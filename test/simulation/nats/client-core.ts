// Core NATS for one client of the memory server.
import type { Core, ServeOptions, Stop } from "../../../libs/bus/bus.ts";
import { decode, encode } from "../../../libs/bus/codec.ts";
import { GreenroomError, messageOf } from "../../../libs/contracts/errors.ts";
import type { Command, Topic } from "../../../libs/contracts/streams.ts";
import type { Link } from "./connection.ts";
import type { Requests } from "./requests.ts";
import type { MemoryWorld } from "./shared.ts";
import { readOnce } from "./values.ts";

export class MemoryCore implements Core {
  readonly #world: MemoryWorld;
  readonly #link: Link;
  readonly #requests: Requests;

  constructor(world: MemoryWorld, link: Link, requests: Requests) {
    this.#world = world;
    this.#link = link;
    this.#requests = requests;
  }

  publishTransient<T>(topic: Topic<T>, message: T): void {
    const data = encode(message);
    const { fates, listeners } = this.#world;
    this.#link.send(() => {
      for (const { link, call } of listeners.on(topic.subject)) {
        if (!fates.strikes("drop")) link.deliver(() => call(data));
      }
    });
  }

  async subscribe<T>(topic: Topic<T>, handle: (message: T) => void): Promise<Stop> {
    const call = (data: Uint8Array) => {
      try {
        handle(readOnce(data, topic.schema, () => decode(topic.schema, data, topic.subject)));
      } catch (error) {
        this.#world.log.warn({ error, subject: topic.subject }, "failed to handle a transient message");
      }
    };
    return this.#subscribe((isOpen) =>
      this.#world.listeners.add(topic.subject, this.#link, (data) => {
        if (isOpen()) call(data);
      }),
    );
  }

  async request<Q, A>(command: Command<Q, A>, host: string, request: Q): Promise<A> {
    const subject = command.subjectOf(host);
    const reply = await this.#requests.host(subject, encode(request), command.timeoutMs);
    if ("failed" in reply) throw new GreenroomError("internal", `${subject} failed: ${reply.failed}`);
    try {
      return decode(command.answer, reply.answer, `the answer of ${subject}`);
    } catch (error) {
      throw new GreenroomError("internal", messageOf(error), { cause: error });
    }
  }

  async serve<Q, A>(
    command: Command<Q, A>,
    host: string,
    respond: (request: Q) => Promise<A>,
    { queue }: ServeOptions = {},
  ): Promise<Stop> {
    const subject = command.subjectOf(host);
    const running = new Set<Promise<unknown>>();
    const reply = async (data: Uint8Array) => {
      try {
        return { answer: encode(await respond(decode(command.request, data, subject))) };
      } catch (error) {
        this.#world.log.error({ error, subject }, "failed to execute a command");
        return { failed: messageOf(error) };
      }
    };
    const unsubscribe = await this.#subscribe((isOpen) => {
      const replyOnce = (data: Uint8Array) => {
        // A request that was on its way when the process unsubscribed is never answered.
        if (!isOpen()) return new Promise<never>(() => {});
        const work = reply(data).finally(() => running.delete(work));
        running.add(work);
        return work;
      };
      return this.#world.answerers.add(subject, this.#link, replyOnce, queue);
    });
    return async () => {
      await unsubscribe();
      await Promise.all(running);
    };
  }

  /** Doesn't wait for the server, and resubscribes after a reconnection, like NATS clients. */
  async #subscribe(add: (isOpen: () => boolean) => () => void): Promise<Stop> {
    let isOpen = true;
    let remove = () => {};
    this.#link.send(() => {
      if (isOpen) remove = add(() => isOpen);
    }, true);
    return async () => {
      isOpen = false;
      this.#link.send(() => remove(), true);
    };
  }
}
