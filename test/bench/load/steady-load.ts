// Sessions at a steady rate: each is started, lasts, and ends; in some of them a person talks.
import { messageOf } from "../../../libs/contracts/errors.ts";
import type { Stack } from "../../kit/stack/stack.ts";
import { quantile } from "../statistics.ts";
import { call } from "./caller.ts";

export interface LoadOptions {
  readonly everyMs: number;
  readonly lastsMs: number;
  /** Every how many sessions somebody joins and talks. */
  readonly callEvery: number;
  readonly profile?: string;
}

export class SteadyLoad {
  readonly #stack: Stack;
  readonly #options: LoadOptions;
  readonly #underway = new Set<Promise<void>>();
  readonly #startMs: number[] = [];
  readonly #failures: string[] = [];
  #started = 0;
  #calls = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(stack: Stack, options: LoadOptions) {
    this.#stack = stack;
    this.#options = options;
  }

  start(): void {
    this.#timer = setInterval(() => {
      const life = this.#live(this.#started++)
        .catch((error: unknown) => void this.#failures.push(messageOf(error)))
        .finally(() => this.#underway.delete(life));
      this.#underway.add(life);
    }, this.#options.everyMs);
  }

  /** Starts no more, and waits for the last to end. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#underway);
  }

  failures(): readonly string[] {
    return this.#failures;
  }

  summary(): string {
    const p = (q: number) => Math.round(quantile(this.#startMs, q));
    return `${this.#started} starts, ${this.#calls} calls with audio, ${this.#failures.length} failures, ready after p50 ${p(0.5)} ms, p95 ${p(0.95)} ms`;
  }

  async #live(number: number): Promise<void> {
    const { profile = "echo", lastsMs, callEvery } = this.#options;
    const began = performance.now();
    const { status, body } = await this.#stack.post("/api/session/start", { profile, wait: 30_000 });
    if (status !== 200) throw new Error(`start ${number} was answered ${status}: ${JSON.stringify(body)}`);
    this.#startMs.push(performance.now() - began);
    if (this.#startMs.length > 10_000) this.#startMs.splice(0, 1000);
    if (number % callEvery === 0) {
      if (!(await call(body, lastsMs))) throw new Error(`call ${number} heard nothing of its agent`);
      this.#calls += 1;
    } else await new Promise((resolve) => setTimeout(resolve, lastsMs));
    const ended = await this.#stack.post(`/api/session/${body.sessionId}/end`);
    if (ended.status >= 300) throw new Error(`end ${number} was answered ${ended.status}`);
  }
}
