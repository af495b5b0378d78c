// Simulated callers: create a task, repeat the request, and cancel some of the tasks.
import { tasks } from "../../../libs/contracts/buckets.ts";
import { isError, messageOf } from "../../../libs/contracts/errors.ts";
import { DEFAULT_TENANT } from "../../../libs/contracts/ids.ts";
import { isTaskEnd, type TaskRecord } from "../../../libs/contracts/tasks/task.ts";
import { taskIdOfKey } from "../../../libs/domain/task/task-ids.ts";
import { sleep } from "../../../libs/runtime/clock.ts";
import { endSession } from "../../../services/gateway/sessions/end-session.ts";
import { cancelTask } from "../../../services/gateway/tasks/change-task.ts";
import { createTask } from "../../../services/gateway/tasks/create-task.ts";
import { forkRandom, pickOne, type Random } from "../../kit/random.ts";
import { PHONE } from "../services.ts";
import type { World } from "../world.ts";
import { answered, pickGateway } from "./gateway-client.ts";

const MAX_TRIES = 8;
const FOLLOW_MS = 40_000;
/** The number of a task's attempts that have a label in the trace. */
const LABELED_ATTEMPTS = 9;

export class Caller {
  readonly name: string;
  readonly key: string;
  readonly taskId: string;
  /** The task id of every accepted request. */
  readonly accepted: string[] = [];
  readonly #world: World;
  readonly #random: Random;

  constructor(world: World, index: number) {
    this.#world = world;
    this.name = `task-${index}`;
    this.key = `key of ${this.name}`;
    this.taskId = taskIdOfKey(DEFAULT_TENANT, this.key);
    this.#random = forkRandom(world.scenario.seed, this.name);
    for (let n = 1; n <= LABELED_ATTEMPTS; n++) world.trace.label(`${this.taskId}-${n}`, `${this.name}/${n}`);
  }

  /** Runs the caller from start to end; never throws. */
  async live(): Promise<void> {
    const { clock, scenario } = this.#world;
    const random = this.#random;
    await sleep(clock, random() * scenario.chaosMs * 0.8);
    const isPhone = random() < (scenario.calling?.byPhone ?? 0);
    const isRace = random() < 0.3;
    const requests = Array.from({ length: isRace ? 2 : 1 }, () => this.#create(isPhone));
    await Promise.all(requests);
    if (this.accepted.length === 0) return;
    const how = pickOne(random, ["ends", "ends", "cancels", "cancels early", "stays"]);
    if (how === "cancels early") {
      await sleep(clock, random() * 3000);
      return await this.cancel(1);
    }
    const sessionId = await this.#waitForSession();
    if (sessionId === undefined || how === "stays") return;
    await sleep(clock, random() * 4000);
    if (how === "cancels") await this.cancel(1);
    // In a phone call, the called person hangs up.
    else if (!isPhone) await this.#end(sessionId);
  }

  record(): TaskRecord | undefined {
    return this.#world.server.entries(tasks).find(({ value }) => value.taskId === this.taskId)?.value;
  }

  /** Retries until a gateway accepts the cancellation. */
  async cancel(tries = 20): Promise<void> {
    const { clock, trace } = this.#world;
    for (let turn = 0; turn < tries; turn++) {
      const gateway = pickGateway(this.#world, this.#random);
      if (gateway !== undefined) {
        trace.note(this.name, `sends a cancel to ${gateway.instance}`);
        const result = await answered(clock, cancelTask(gateway, this.taskId));
        if ("value" in result) return;
        if (isError(result.error, "not_found") || isError(result.error, "conflict")) return;
        trace.note(this.name, `failed to cancel: ${messageOf(result.error)}`);
      }
      await sleep(clock, 300);
    }
  }

  async #create(isPhone: boolean): Promise<void> {
    const { clock, scenario, trace } = this.#world;
    const profile = isPhone ? PHONE : (scenario.profiles[0] ?? "");
    const to = `+1555010${this.name.length}${this.name.at(-1)}`;
    const retry = { maxAttempts: 2, initialMs: 500, maxMs: 1000 };
    const body = { to, profile, metadata: { from: this.name }, retry, idempotencyKey: this.key };
    for (let turn = 0; turn < MAX_TRIES; turn++) {
      const gateway = pickGateway(this.#world, this.#random);
      if (gateway === undefined) {
        await sleep(clock, 500);
        continue;
      }
      trace.note(this.name, `requests a task with profile ${profile} from ${gateway.instance}`);
      const result = await answered(clock, createTask(gateway, body));
      if ("value" in result) {
        trace.note(this.name, "is accepted");
        this.accepted.push(result.value.taskId);
        return;
      }
      trace.note(this.name, `is refused: ${messageOf(result.error)}`);
      if (this.#world.isCalm) return;
      await sleep(clock, 200 + this.#random() * 1500);
    }
  }

  /** @returns the session of the attempt in progress; undefined when the task ends first, or takes too long */
  async #waitForSession(): Promise<string | undefined> {
    const { clock } = this.#world;
    for (const untilMs = clock.monotonic() + FOLLOW_MS; clock.monotonic() < untilMs; ) {
      const task = this.record();
      if (task?.state === "inProgress") return task.attempts.at(-1)?.sessionId;
      if (task !== undefined && isTaskEnd(task.state)) return undefined;
      await sleep(clock, 200);
    }
    return undefined;
  }

  async #end(sessionId: string): Promise<void> {
    const gateway = pickGateway(this.#world, this.#random);
    if (gateway === undefined) return;
    this.#world.trace.note(this.name, `sends an end of ${sessionId} to ${gateway.instance}`);
    await answered(this.#world.clock, endSession(gateway, sessionId));
  }
}
