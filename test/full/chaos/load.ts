// The load of a chaos run: clients of two tenants that run one session or task after the other.
import { forkRandom } from "../../kit/random.ts";
import type { ApiClient } from "./api-client.ts";
import { Client, type Notes } from "./client.ts";
import type { Heard, RunMs, SentStart, SentTask } from "./evidence.ts";
import { TaskClient } from "./task-client.ts";

/** Every third client belongs to the second tenant. */
const OTHER_EVERY = 3;

interface Options {
  readonly seed: number;
  readonly clients: number;
  /** The clients' APIs, of the first and the second tenant. */
  readonly apis: readonly [ApiClient, ApiClient];
  readonly now: () => RunMs;
}

export class Load implements Notes {
  readonly starts: SentStart[] = [];
  readonly sentTasks: SentTask[] = [];
  readonly heard: Heard[] = [];
  readonly problems: string[] = [];
  readonly #clients: Promise<void>[];
  #isOver = false;

  constructor({ seed, clients, apis, now }: Options) {
    this.#clients = Array.from({ length: clients }, async (_, index) => {
      const client = new Client({
        // Clients of the second tenant share names, and so keys, with the first. The keys are separate per tenant.
        name: `${seed}-${index % OTHER_EVERY === OTHER_EVERY - 1 ? index - 1 : index}`,
        random: forkRandom(seed, `client ${index}`),
        api: index % OTHER_EVERY === OTHER_EVERY - 1 ? apis[1] : apis[0],
        now,
        notes: this,
      });
      await client.run(() => this.#isOver);
    });
    for (const [index, api] of apis.entries()) {
      const name = `${seed}-tasks`;
      const random = forkRandom(seed, `tasks ${index}`);
      const client = new TaskClient({ name, random, api, now, sentTasks: this.sentTasks });
      this.#clients.push(client.run(() => this.#isOver));
    }
  }

  /** Stops after the running sessions and tasks. */
  async stop(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#clients);
  }
}
