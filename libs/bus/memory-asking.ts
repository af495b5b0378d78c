// Questions of one client to the memory server and to hosts, with all that can become of them.
import { GreenroomError } from "../contracts/errors.ts";
import { STORE_TIMEOUT_MS } from "./delivery-rules.ts";
import type { Link } from "./memory-link.ts";
import type { MemoryWorld } from "./memory-world.ts";

type Reply = { answer: Uint8Array } | { failed: string };

interface Ends<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
}

export class Asking {
  readonly #world: MemoryWorld;
  readonly #link: Link;

  constructor(world: MemoryWorld, link: Link) {
    this.#world = world;
    this.#link = link;
  }

  /** @throws GreenroomError storage_unavailable, and whatever `atServer` throws */
  read<T>(doing: string, atServer: () => T): Promise<T> {
    return this.#call(doing, atServer, false);
  }

  /** The same for what changes something: its answer may be lost. */
  write<T>(doing: string, atServer: () => T): Promise<T> {
    return this.#call(doing, atServer, true);
  }

  /** @throws GreenroomError no_responders, timeout */
  host(subject: string, question: Uint8Array, timeoutMs: number): Promise<Reply> {
    const late = () => new GreenroomError("timeout", `No answer came on ${subject} in time.`);
    const { fates, answerers } = this.#world;
    const link = this.#link;
    return this.#within(timeoutMs, `asking on ${subject}`, late, ({ resolve, reject }) => {
      link.send(() => {
        const answering = answerers.on(subject);
        if (answering.length === 0) {
          link.deliver(() => reject(new GreenroomError("no_responders", `Nobody answers on ${subject}.`)));
        }
        for (const { link: host, call } of answering) {
          if (fates.chance(fates.faults().drop)) continue;
          host.deliver(async () => {
            const reply = await call(question);
            const isLost = fates.chance(fates.faults().drop);
            if (!isLost) host.send(() => link.deliver(() => resolve(reply)));
          });
        }
      });
    });
  }

  #call<T>(doing: string, atServer: () => T, isWrite: boolean): Promise<T> {
    const late = () => unavailable(doing, "TIMEOUT");
    const { clock, fates } = this.#world;
    const link = this.#link;
    return this.#within(STORE_TIMEOUT_MS, doing, late, ({ resolve, reject }) => {
      const fate = fates.ofCall(isWrite);
      const run = () => {
        const outcome = attempt(atServer);
        if (fate !== "fine") return;
        link.deliver(() => ("error" in outcome ? reject(outcome.error) : resolve(outcome.value)));
      };
      if (fate === "refused") link.send(() => link.deliver(() => reject(unavailable(doing, "503"))));
      else if (fate === "late") {
        // The server does it only when its caller has long given up.
        const lateMs = fates.between(STORE_TIMEOUT_MS, 2 * STORE_TIMEOUT_MS);
        link.send(() => clock.after(lateMs, run));
      } else if (fate !== "unsent") link.send(run);
    });
  }

  #within<T>(
    ms: number,
    doing: string,
    late: () => GreenroomError,
    start: (ends: Ends<T>) => void,
  ): Promise<T> {
    if (this.#link.isClosed()) return Promise.reject(unavailable(doing, "CONNECTION_CLOSED"));
    return new Promise<T>((resolve, reject) => {
      // A killed process waits for nothing; its promises stay open.
      if (this.#link.hasCrashed()) return;
      const cancel = this.#world.clock.after(ms, () => this.#link.run(() => reject(late())));
      start({
        resolve: (value) => {
          cancel();
          resolve(value);
        },
        reject: (error) => {
          cancel();
          reject(error);
        },
      });
    });
  }
}

function attempt<T>(work: () => T): { value: T } | { error: unknown } {
  try {
    return { value: work() };
  } catch (error) {
    return { error };
  }
}

export const unavailable = (doing: string, why: string): GreenroomError =>
  new GreenroomError("storage_unavailable", `${doing}: NATS said "${why}".`);
