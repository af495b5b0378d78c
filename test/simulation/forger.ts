// Says what is no longer true: events of attempts that are over, of hosts in former lives, and plain nonsense.
import { z } from "zod";
import type { MemoryClient } from "../../libs/bus/memory-bus.ts";
import { type Channel, sessionEvents } from "../../libs/contracts/channels.ts";
import type { SessionEvent, SessionRecord } from "../../libs/contracts/session.ts";
import { pickOne, type Random } from "../support/random.ts";
import { describeEvent } from "./traced-bus.ts";
import type { World } from "./world.ts";

/** Without message ids, or the stream would take a forged event for a repetition of the real one. */
const unchecked: Channel<SessionEvent> = { ...sessionEvents, idOf: () => undefined };

interface Poison {
  readonly subject: string;
  readonly nonsense: unknown;
}

const poison: Channel<Poison> = {
  ...sessionEvents,
  schema: z.any(),
  subjectOf: ({ subject }) => subject,
  idOf: () => undefined,
};

export class Forger {
  readonly #world: World;
  readonly #random: Random;
  readonly #client: MemoryClient;
  /** Messages that can only go to the dead letters. */
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
    const event = this.#stale(record);
    if (event === undefined) return;
    this.#world.trace.note("forger", `says ${describeEvent(this.#world.trace, event)}`);
    await this.#client.publish(unchecked, event).catch(() => {});
  }

  async #poison(record: SessionRecord): Promise<void> {
    const subject = `session.${record.tenant}.${record.id}.joined`;
    this.#world.trace.note("forger", `says nonsense on ${subject}`);
    // Counted by what the stream has in the end, since even this may not be stored.
    await this.#client
      .publish(poison, { subject, nonsense: this.#random() < 0.5 ? "text" : { type: "joined" } })
      .catch(() => {});
  }

  /** An event of an older attempt; or of this one, from a life that its host no longer has, or another host. */
  #stale(record: SessionRecord): SessionEvent | undefined {
    const random = this.#random;
    const isOld = record.attempt > 1 && random() < 0.7;
    const attempt = isOld ? 1 + Math.floor(random() * (record.attempt - 1)) : record.attempt;
    const at = new Date(this.#world.clock.now()).toISOString();
    const address = { tenant: record.tenant, sessionId: record.id, at, attempt };
    const epoch = (record.hostEpoch ?? 1000) - (isOld ? 0 : 1);
    const host = isOld || random() < 0.5 ? (record.host ?? "host-1") : "host-nowhere";
    const by = { ...address, host, epoch };
    const place = { room: "a-forged-room", identity: "a-forged-agent", warm: "hot", tookMs: 1 } as const;
    const ofHost: [SessionEvent, ...SessionEvent[]] = [
      { ...by, ...place, type: "joined" },
      { ...by, ...place, type: "ready" },
      { ...by, type: "user_left" },
      { ...by, type: "agent_ended", why: "forged", worthRepeating: false },
      { ...by, type: "agent_ended", why: "forged", error: "forged", worthRepeating: true },
    ];
    if (!isOld) return pickOne(random, ofHost);
    return pickOne(random, [
      ...ofHost,
      { ...address, type: "agent_lost", why: "forged" },
      { ...address, type: "overdue", state: "ready", kind: "max_duration", waitedMs: 1, why: "forged" },
      { ...address, type: "overdue", state: "dispatched", kind: "join", waitedMs: 1, why: "forged" },
    ]);
  }
}
