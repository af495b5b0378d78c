// Publishes stale events (of finished attempts, of earlier host epochs) and malformed messages.
import { z } from "zod";
import type { SessionEvent, SessionRecord } from "../../../libs/contracts/sessions/session.ts";
import { type Channel, sessionEventsWithoutOverflow } from "../../../libs/contracts/streams.ts";
import { staleEvent } from "../../kit/fixtures/stale-events.ts";
import { pickOne, type Random } from "../../kit/random.ts";
import type { MemoryClient } from "../nats/memory-bus.ts";
import { describeEvent } from "../traced-bus.ts";
import type { World } from "../world.ts";

/** Without message ids: the stream would drop a forged event as a duplicate of the real one. */
const unchecked: Channel<SessionEvent> = { ...sessionEventsWithoutOverflow, idOf: () => undefined };

interface Poison {
  readonly subject: string;
  readonly malformed: unknown;
}

const poison: Channel<Poison> = {
  ...sessionEventsWithoutOverflow,
  schema: z.any(),
  subjectOf: ({ subject }) => subject,
  idOf: () => undefined,
};

export class Forger {
  readonly #world: World;
  readonly #random: Random;
  readonly #client: MemoryClient;
  /** Counts messages that can only become dead letters. */
  poisoned = 0;

  constructor(world: World, random: Random) {
    this.#world = world;
    this.#random = random;
    this.#client = world.server.connect("forger");
  }

  async forge(): Promise<void> {
    const [first, ...others] = this.#world.records();
    if (first === undefined) return;
    const record = pickOne(this.#random, [first, ...others]);
    if (this.#random() < 0.2) return this.#poison(record);
    const event = staleEvent(this.#random, record, new Date(this.#world.clock.now()).toISOString());
    this.#world.trace.note("forger", `publishes ${describeEvent(this.#world.trace, event)}`);
    await this.#client.streams.publish(unchecked, event).catch(() => {});
  }

  async #poison(record: SessionRecord): Promise<void> {
    const subject = `session.${record.tenant}.${record.sessionId}.joined`;
    this.#world.trace.note("forger", `publishes a malformed message on ${subject}`);
    // The checks count what the stream contains at the end, since this publish may fail too.
    await this.#client.streams
      .publish(poison, { subject, malformed: this.#random() < 0.5 ? "text" : { type: "joined" } })
      .catch(() => {});
  }
}
