// Which hosts are gone: asked again and again, by one that trusts neither silence nor a single answer.
import type { Bus } from "../../libs/bus/bus.ts";
import { pingCommand } from "../../libs/contracts/channels.ts";
import { isError } from "../../libs/contracts/errors.ts";
import type { SessionRecord } from "../../libs/contracts/session.ts";

/** One life of a host, from its registration to its end. */
export interface HostLife {
  readonly id: string;
  readonly epoch: number;
}

/** Nobody listens on its subject: it is dead, or cut off, and says nothing more. Twice, for a reconnect. */
const NO_RESPONDERS_TO_BE_LOST = 2;
/** It listens and doesn't answer: it hangs. */
const SILENCES_TO_BE_LOST = 3;

/**
 * Every life that matters: the registered ones, and those that sessions still name. A host that was restarted
 * has overwritten its former registration, and nobody else would ever ask after the sessions of that life.
 */
export function livesOf(hosts: readonly HostLife[], records: readonly SessionRecord[]): HostLife[] {
  const lives = new Map(hosts.map(({ id, epoch }) => [nameOf({ id, epoch }), { id, epoch }]));
  for (const { state, host: id, hostEpoch: epoch } of records) {
    if (state === "ended" || id === undefined || epoch === undefined) continue;
    lives.set(nameOf({ id, epoch }), { id, epoch });
  }
  return [...lives.values()];
}

const nameOf = ({ id, epoch }: HostLife): string => `${id}/${epoch}`;

export class HostPulse {
  readonly #bus: Bus;
  readonly #misses = new Map<string, { gone: number; silent: number }>();

  constructor(bus: Bus) {
    this.#bus = bus;
  }

  /** Asks every host once and answers with those that are lost by now, and why. */
  async findLost(hosts: readonly HostLife[]): Promise<{ host: HostLife; why: string }[]> {
    const names = new Set(hosts.map(nameOf));
    for (const name of this.#misses.keys()) if (!names.has(name)) this.#misses.delete(name);
    const results = await Promise.all(hosts.map(async (host) => ({ host, why: await this.#ask(host) })));
    return results.flatMap(({ host, why }) => (why === undefined ? [] : [{ host, why }]));
  }

  async #ask(host: HostLife): Promise<string | undefined> {
    const misses = this.#misses.get(nameOf(host)) ?? { gone: 0, silent: 0 };
    this.#misses.set(nameOf(host), misses);
    try {
      const pong = await this.#bus.request(pingCommand, host.id, {});
      misses.gone = 0;
      misses.silent = 0;
      return pong.epoch > host.epoch && host.epoch > 0 ? `host ${host.id} was restarted` : undefined;
    } catch (error) {
      // Without a connection of its own a janitor knows nothing about anybody.
      if (!this.#bus.isConnected()) return undefined;
      if (isError(error, "no_responders")) misses.gone += 1;
      else if (isError(error, "timeout")) misses.silent += 1;
      if (misses.gone >= NO_RESPONDERS_TO_BE_LOST) return `host ${host.id} is gone: nobody answers for it`;
      if (misses.silent >= SILENCES_TO_BE_LOST)
        return `host ${host.id} hangs: it missed ${misses.silent} pings`;
      return undefined;
    }
  }
}
