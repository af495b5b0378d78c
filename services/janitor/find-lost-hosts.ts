// Which hosts are gone: asked again and again, by one that trusts neither silence nor a single answer.
import type { Bus } from "../../libs/bus/bus.ts";
import { pingCommand } from "../../libs/contracts/channels.ts";
import { isError } from "../../libs/contracts/errors.ts";
import type { HostRecord } from "../../libs/contracts/host.ts";

/** Nobody listens on its subject: it is dead, or cut off, and says nothing more. Twice, for a reconnect. */
const NO_RESPONDERS_TO_BE_LOST = 2;
/** It listens and doesn't answer: it hangs. */
const SILENCES_TO_BE_LOST = 3;

export class HostPulse {
  readonly #bus: Bus;
  readonly #misses = new Map<string, { gone: number; silent: number }>();

  constructor(bus: Bus) {
    this.#bus = bus;
  }

  /** Asks every host once and answers with those that are lost by now, and why. */
  async findLost(hosts: readonly HostRecord[]): Promise<{ host: HostRecord; why: string }[]> {
    for (const id of this.#misses.keys()) {
      if (!hosts.some((host) => host.id === id)) this.#misses.delete(id);
    }
    const results = await Promise.all(hosts.map(async (host) => ({ host, why: await this.#ask(host) })));
    return results.flatMap(({ host, why }) => (why === undefined ? [] : [{ host, why }]));
  }

  async #ask(host: HostRecord): Promise<string | undefined> {
    const misses = this.#misses.get(host.id) ?? { gone: 0, silent: 0 };
    this.#misses.set(host.id, misses);
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
