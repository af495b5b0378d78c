// Starts and ends sessions at a steady rate; in some of them, a caller talks.
import { messageOf } from "../../../libs/contracts/errors.ts";
import type { Stack } from "../../kit/stack/stack.ts";
import { quantile } from "../statistics.ts";
import { call } from "./caller.ts";

export interface LoadOptions {
  readonly everyMs: number;
  readonly lastsMs: number;
  /** One session in this number has a caller who talks. */
  readonly callEvery: number;
  readonly profile?: string;
}

export class SteadyLoad {
  readonly #stack: Stack;
  readonly #options: LoadOptions;
  readonly #inFlight = new Set<Promise<void>>();
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
      const life = this.#run(this.#started++)
        .catch((error: unknown) => void this.#failures.push(messageOf(error)))
        .finally(() => this.#inFlight.delete(life));
      this.#inFlight.add(life);
    }, this.#options.everyMs);
  }

  /** Stops starting sessions, and waits until the last has ended. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#inFlight);
  }

  failures(): readonly string[] {
    return this.#failures;
  }

  summary(): string {
    const p = (q: number) => Math.round(quantile(this.#startMs, q));
    return `${this.#started} starts, ${this.#calls} calls with audio, ${this.#failures.length} failures, ready after p50 ${p(0.5)} ms, p95 ${p(0.95)} ms`;
  }

  async #run(number: number): Promise<void> {
    const { profile = "echo", lastsMs, callEvery } = this.#options;
    const startedAt = performance.now();
    const { status, body } = await this.#stack.post("/api/session/start", { profile, wait: 30_000 });
    if (status !== 200) throw new Error(`start ${number} returned ${status}: ${JSON.stringify(body)}`);
    this.#startMs.push(performance.now() - startedAt);
    if (this.#startMs.length > 10_000) this.#startMs.splice(0, 1000);
    if (number % callEvery === 0) {
      if (!(await call(body, lastsMs))) throw new Error(`call ${number} got no track of its agent`);
      this.#calls += 1;
    } else await new Promise((resolve) => setTimeout(resolve, lastsMs));
    const ended = await this.#stack.post(`/api/session/${body.sessionId}/end`);
    if (ended.status >= 300) throw new Error(`end ${number} returned ${ended.status}`);
  }
}
