// A client that creates one task after the other, over the pool and by telephone, and records the answers.
import { setTimeout as sleep } from "node:timers/promises";
import { isTaskEnd } from "../../../libs/contracts/tasks/task.ts";
import { integerBetween, pickOne, type Random } from "../../kit/random.ts";
import type { Answer, ApiClient } from "./api-client.ts";
import type { RunMs, SentTask } from "./evidence.ts";
import { PHONE_PROFILE } from "./phones.ts";

const TRIES_MS = 40_000;
const FOLLOWED_MS = 40_000;
const LOOK_MS = 400;

interface Options {
  readonly name: string;
  readonly random: Random;
  readonly api: ApiClient;
  readonly now: () => RunMs;
  readonly sentTasks: SentTask[];
}

interface TaskPlan {
  readonly key: string;
  readonly body: { readonly to: string; readonly profile: string } & Record<string, unknown>;
}

export class TaskClient {
  readonly #options: Options;
  #count = 0;

  constructor(options: Options) {
    this.#options = options;
  }

  async run(isOver: () => boolean): Promise<void> {
    const { random } = this.#options;
    while (!isOver()) {
      await this.#oneTask(random);
      await sleep(integerBetween(random, 200, 2000));
    }
  }

  async #oneTask(random: Random): Promise<void> {
    const plan = this.#plan(random);
    const gateway = integerBetween(random, 0, 1);
    const isRace = random() < 0.3;
    const asking = Array.from({ length: isRace ? 3 : 1 }, (_, index) => this.#ask(plan, gateway + index));
    const taskId = (await Promise.all(asking)).find((id) => id !== undefined);
    if (taskId === undefined) return;
    const end = pickOne(random, ["end", "end", "cancel", "left"]);
    const isCanceledEarly = random() < 0.1;
    const afterMs = integerBetween(random, 500, 5000);
    if (isCanceledEarly) {
      await sleep(afterMs);
      await this.#post(gateway, `/api/tasks/${taskId}/cancel`);
      return;
    }
    const sessionId = await this.#inProgress(taskId, gateway);
    // A simulated telephone hangs up by itself.
    if (sessionId === undefined || end === "left") return;
    await sleep(afterMs);
    if (end === "cancel") await this.#post(gateway, `/api/tasks/${taskId}/cancel`);
    else if (plan.body.profile !== PHONE_PROFILE) await this.#post(gateway, `/api/session/${sessionId}/end`);
  }

  #plan(random: Random): TaskPlan {
    this.#count += 1;
    const name = `${this.#options.name}-${this.#count}`;
    const isPhone = random() < 0.6;
    const number = String(integerBetween(random, 0, 9_999_999)).padStart(7, "0");
    return {
      key: `key-${name}`,
      body: {
        to: `+1555${number}`,
        profile: isPhone ? PHONE_PROFILE : "heard",
        metadata: { words: `words of ${name}` },
        retry: { maxAttempts: 2, initialMs: 500, maxMs: 1000 },
      },
    };
  }

  /** Retries the request at alternating gateways until it is accepted. */
  async #ask(plan: TaskPlan, gateway: number): Promise<string | undefined> {
    const { api, now, sentTasks } = this.#options;
    const untilMs = now() + TRIES_MS;
    for (let tries = 0; now() < untilMs; tries++) {
      const sentAtMs = now();
      const { status, body } = await api.post(gateway + tries, "/api/tasks", plan.body, plan.key);
      const taskId: string | undefined = status === 202 ? body.taskId : undefined;
      const sent = { sentAtMs, tenant: api.tenant, idempotencyKey: plan.key, status };
      sentTasks.push(taskId === undefined ? sent : { ...sent, taskId });
      if (taskId !== undefined) return taskId;
      await sleep(500);
    }
    return undefined;
  }

  /** Waits for the attempt in progress. @returns its session, undefined if the task is over first or takes too long */
  async #inProgress(taskId: string, gateway: number): Promise<string | undefined> {
    const { api, now } = this.#options;
    const untilMs = now() + FOLLOWED_MS;
    for (let tries = 0; now() < untilMs; tries++) {
      const { body } = await api.get(gateway + tries, `/api/tasks/${taskId}`);
      if (body?.state === "inProgress") return body.attempts.at(-1)?.sessionId;
      if (body?.state !== undefined && isTaskEnd(body.state)) return undefined;
      await sleep(LOOK_MS);
    }
    return undefined;
  }

  async #post(gateway: number, path: string): Promise<void> {
    for (let tries = 0; tries < 4; tries++) {
      const answer: Answer = await this.#options.api.post(gateway + tries, path, {});
      if (answer.status >= 200 && answer.status < 500) return;
      await sleep(500);
    }
  }
}
