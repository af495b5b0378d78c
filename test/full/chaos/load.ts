// The load of a chaos run: some clients, of two tenants, each with one session after the other, or one task.
import { forkRandom } from "../../kit/random.ts";
import type { ApiClient } from "./api-client.ts";
import { Client, type Notes } from "./client.ts";
import type { Asked, AskedTask, Heard, RunMs } from "./evidence.ts";
import { TaskClient } from "./task-client.ts";

/** Every so manieth client is of the second tenant. */
const OTHERS = 3;

interface Options {
  readonly seed: number;
  readonly clients: number;
  /** Of the first tenant and of the second. */
  readonly apis: readonly [ApiClient, ApiClient];
  readonly now: () => RunMs;
}

export class Load implements Notes {
  readonly asked: Asked[] = [];
  readonly askedTasks: AskedTask[] = [];
  readonly heard: Heard[] = [];
  readonly troubles: string[] = [];
  readonly #clients: Promise<void>[];
  #isOver = false;

  constructor({ seed, clients, apis, now }: Options) {
    this.#clients = Array.from({ length: clients }, async (_, index) => {
      const client = new Client({
        // The second tenant's have names of the first's, and so the same keys, which mean something else there.
        name: `${seed}-${index % OTHERS === OTHERS - 1 ? index - 1 : index}`,
        random: forkRandom(seed, `client ${index}`),
        api: index % OTHERS === OTHERS - 1 ? apis[1] : apis[0],
        now,
        notes: this,
      });
      await client.run(() => this.#isOver);
    });
    for (const [index, api] of apis.entries()) {
      const name = `${seed}-tasks`;
      const random = forkRandom(seed, `tasks ${index}`);
      const client = new TaskClient({ name, random, api, now, askedTasks: this.askedTasks });
      this.#clients.push(client.run(() => this.#isOver));
    }
  }

  /** Starts nothing more; answers when what has begun is over. */
  async stop(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#clients);
  }
}
