// One simulated process's connection to the memory server: the bus as a service on NATS would see it.
import type { Admin, Bus, Core, KeyValue, Streams } from "../../../libs/bus/bus.ts";
import { deadLetters } from "../../../libs/contracts/streams.ts";
import { MemoryAdmin } from "./client-admin.ts";
import { MemoryCore } from "./client-core.ts";
import { MemoryKeyValue } from "./client-kv.ts";
import { MemoryStreams } from "./client-streams.ts";
import type { Link } from "./connection.ts";
import { Consuming } from "./consuming.ts";
import { Asking } from "./requests.ts";
import type { MemoryWorld } from "./shared.ts";

/** A client of the memory server. Only its connection is simulated: the process's own timers go on. */
export interface MemoryClient extends Bus {
  readonly name: string;
  /** As `kill -9`: from now on the process sends and receives nothing, and no call of it returns. */
  crash(): void;
  /** As SIGSTOP: everything that the process sends and receives waits. After 20 s its subscriptions are gone until it resumes. */
  pause(): void;
  resume(): void;
  /** Cuts the process off from the server, as a pulled cable does: calls end in time-outs. */
  cut(): void;
  heal(): void;
}

export class MemoryBus implements MemoryClient {
  readonly streams: Streams;
  readonly kv: KeyValue;
  readonly core: Core;
  readonly admin: Admin;
  readonly #link: Link;

  constructor(world: MemoryWorld, link: Link) {
    const asking = new Asking(world, link);
    const consuming = new Consuming(world, link, asking, (letter) =>
      this.streams.publish(deadLetters, letter),
    );
    this.#link = link;
    this.streams = new MemoryStreams(world, asking, consuming);
    this.kv = new MemoryKeyValue(world, link, asking, consuming);
    this.core = new MemoryCore(world, link, asking);
    this.admin = new MemoryAdmin(world, asking);
  }

  get name(): string {
    return this.#link.name;
  }

  isConnected(): boolean {
    return this.#link.knowsItIsConnected();
  }

  async close(): Promise<void> {
    this.#link.close();
  }

  crash(): void {
    this.#link.crash();
  }

  pause(): void {
    this.#link.pause();
  }

  resume(): void {
    this.#link.resume();
  }

  cut(): void {
    this.#link.cut();
  }

  heal(): void {
    this.#link.heal();
  }
}
