// Tasks services on the memory bus, in simulated time, with a scripted telephone exchange.

import type { Bus } from "../../../libs/bus/bus.ts";
import { forward } from "../../../libs/bus/overflow.ts";
import { type BusOverrides, overrideBus } from "../../../libs/bus/override-bus.ts";
import {
  type Bucket,
  hosts,
  launches,
  sessions,
  tasks as tasksBucket,
} from "../../../libs/contracts/buckets.ts";
import { attemptKey, sessionKey } from "../../../libs/contracts/ids.ts";
import type { CallProgress, LaunchRecord } from "../../../libs/contracts/providers/provider.ts";
import type { EndedReason, Requested, SessionRecord } from "../../../libs/contracts/sessions/session.ts";
import { sessionEvents, taskEvents, taskRequests } from "../../../libs/contracts/streams.ts";
import { isActiveTask, type TaskRecord, type TaskRequest } from "../../../libs/contracts/tasks/task.ts";
import { newSession } from "../../../libs/domain/session/reduce.ts";
import { sleep } from "../../../libs/runtime/clock.ts";
import { silentLog } from "../../../libs/runtime/log.ts";
import { startTasks, type TasksDeps } from "../../../services/tasks/tasks.ts";
import type { Faults } from "../../simulation/nats/faults.ts";
import { AT, aHost, defaults } from "../fixtures/sessions.ts";
import { aRequest } from "../fixtures/tasks.ts";
import { world } from "./memory-world.ts";

/** One step of a session's script. */
export type Scene =
  | { wait: number }
  | { call: CallProgress["status"]; more?: Partial<CallProgress>; afterItsEnd?: true }
  /** Saves the launch of a call like the providers service: its intent, or its end without a call. */
  | { launch: "intended" | "over" }
  | { ready: true }
  | { ends: EndedReason; wasRetryable?: false };

/** An answered call that ends after a while. */
export const TALK: readonly Scene[] = [
  { wait: 50 },
  { ready: true },
  { call: "dialing" },
  { wait: 1000 },
  { call: "ringing" },
  { wait: 2000 },
  { call: "answered", more: { sipCode: 200, answeredBy: "human" } },
  { wait: 20_000 },
  { call: "hungUp" },
  { ends: "completed" },
];

/** A call that reaches nobody. */
export const notReached = (
  status: "busy" | "noAnswer" | "failed",
  sipCode: number,
  more: Partial<CallProgress> = {},
): readonly Scene[] => [
  { wait: 50 },
  { ready: true },
  { call: "dialing" },
  { wait: 1000 },
  { call: status, more: { ...more, sipCode } },
  { ends: "provider_error" },
];

type Script = (requested: Requested, taskAttempt: number) => readonly Scene[];

export interface TaskWorldOptions {
  readonly faults?: Partial<Faults>;
  readonly seed?: number;
  readonly replicas?: 1 | 3;
  readonly script?: Script;
  readonly settings?: Partial<TasksDeps["settings"]>;
}

const limits = { perTenant: 10, perProvider: () => 10, total: 100, callingHours: undefined };

/** Overrides the bus of one process, for example to kill the process in the middle of an operation. */
export type Intercept = (bus: Bus, die: () => Promise<never>) => BusOverrides;

export async function taskWorld(options: TaskWorldOptions = {}) {
  const { clock, server, connect, outcome } = world({}, options.seed, options.replicas);
  const exchange = new Exchange(connect("exchange"), clock, options.script ?? (() => TALK));
  await outcome(exchange.open());
  const client = connect("client");
  await outcome(
    client.streams.publish(
      taskRequests,
      aRequest({ taskId: "t_warm-up", profile: "nobody", provider: "pool" }),
    ),
  );
  if (options.faults !== undefined) server.setFaults(options.faults);

  /** Starts a tasks service, and retries until it runs, like its supervisor would. */
  const tasks = (instance: string, intercept?: Intercept) => surely(() => startOne(instance, intercept));
  const startOne = async (instance: string, intercept?: Intercept) => {
    const own = clock.forProcess();
    const link = connect(instance);
    const kill = () => {
      own.kill();
      link.crash();
    };
    const die = () => {
      kill();
      return new Promise<never>(() => {});
    };
    const bus = intercept === undefined ? link : overrideBus(link, intercept(link, die));
    const running = await outcome(
      startTasks({
        bus,
        clock: own,
        log: silentLog,
        instance,
        settings: {
          limits,
          rate: 100,
          deadlineMs: { attempt: 900_000 },
          providerOf: () => "sip",
          ...options.settings,
        },
      }).catch((error: unknown) => {
        kill();
        throw error;
      }),
    );
    return {
      kill,
      pause() {
        own.pause();
        link.pause();
      },
      resume() {
        own.resume();
        link.resume();
      },
      stop: () => outcome(running.stop()),
    };
  };
  const task = (id: string): TaskRecord | undefined =>
    server.entries(tasksBucket).find(({ value }) => value.taskId === id)?.value;
  const when = async (id: string, is: (task: TaskRecord) => boolean, maxMs = 30 * 60_000) => {
    const holds = () => {
      const now = task(id);
      return now !== undefined && is(now);
    };
    if (!(await clock.runUntil(holds, maxMs)))
      throw new Error(`timed out on task ${id}: ${JSON.stringify(task(id))}`);
    return task(id) as TaskRecord;
  };
  return {
    clock,
    server,
    client,
    exchange,
    outcome,
    tasks,
    task,
    when,
    /** Requests a task, and repeats the request until it is stored, like a client would. */
    request: (id: string, changed: Partial<TaskRequest> = {}) =>
      surely(() => outcome(client.streams.publish(taskRequests, aRequest({ taskId: id, ...changed })))),
    publish: (event: Parameters<typeof taskEvents.subjectOf>[0]) =>
      outcome(client.streams.publish(taskEvents, event)),
    async host(maxAgents = 100) {
      const profile = { status: "running", warm: 5, hot: 0, warming: 0, busy: 0, max: 100 } as const;
      const host = aHost("host-1", 1, { maxAgents, profiles: { echo: profile } });
      await surely(() => outcome(client.kv.update(hosts, host, 0)));
    },
    /** The largest number of attempts in progress at once, by the order of the writes. */
    mostAtOnce(of: (task: TaskRecord) => boolean = () => true): number {
      const active = new Set<string>();
      let most = 0;
      for (const { key, value } of server.written(tasksBucket)) {
        if (value !== undefined && of(value) && isActiveTask(value.state)) active.add(key);
        else active.delete(key);
        most = Math.max(most, active.size);
      }
      return most;
    },
  };
}

/** Simulates the dispatcher, the hosts and the providers service: creates sessions, dials and ends them. */
class Exchange {
  /** The id of every created session, once per creation. */
  readonly made: string[] = [];
  /** The session id of every dialed call. */
  readonly dialed: string[] = [];
  readonly ended: string[] = [];
  readonly #bus: Bus;
  readonly #clock: Parameters<typeof sleep>[0];
  readonly #script: Script;

  constructor(bus: Bus, clock: Parameters<typeof sleep>[0], script: Script) {
    this.#bus = bus;
    this.#clock = clock;
    this.#script = script;
  }

  async open(): Promise<void> {
    await forward(this.#bus, sessionEvents);
    await this.#bus.streams.consume(
      sessionEvents,
      { durable: "dispatcher", description: "a test", concurrency: 100 },
      async (event) => {
        const key = sessionKey(event);
        const found = await this.#bus.kv.get(sessions, key);
        if (event.type === "end_requested") {
          if (found === undefined) return "nak";
          this.ended.push(event.sessionId);
          await this.#end(key, "cancelled", event.reason);
          return "ack";
        }
        if (event.type !== "requested" || found !== undefined) return "ack";
        const saved = await this.#bus.kv.update(
          sessions,
          { ...newSession(event, defaults), writeId: key },
          0,
        );
        if (saved === undefined) return "nak";
        this.made.push(event.sessionId);
        void this.#play(event, key);
        return "ack";
      },
    );
  }

  async #play(event: Requested, key: string): Promise<void> {
    for (const scene of this.#script(event, event.call?.taskAttempt ?? 0)) {
      if ("wait" in scene) await sleep(this.#clock, scene.wait);
      const session = await this.#surely(() => this.#bus.kv.get(sessions, key));
      if (session === undefined) return;
      if (session.value.state === "ended" && !("wait" in scene || "afterItsEnd" in scene)) continue;
      if ("call" in scene) await this.#call(session.value, scene.call, scene.more ?? {});
      else if ("launch" in scene) await this.#launch(session.value, scene.launch);
      else if ("ready" in scene)
        await this.#change(sessions, key, (record) => ({
          ...record,
          state: "ready",
          timings: { readyMs: 5 },
        }));
      else if ("ends" in scene)
        await this.#end(key, scene.ends, `ended as ${scene.ends}`, scene.wasRetryable);
    }
  }

  async #call(session: SessionRecord, status: CallProgress["status"], more: Partial<CallProgress>) {
    if (status === "dialing") this.dialed.push(session.sessionId);
    await this.#launch(session, "ready", { ...more, status });
  }

  async #launch(session: SessionRecord, state: LaunchRecord["state"], call?: CallProgress): Promise<void> {
    const key = attemptKey({ tenant: session.tenant, sessionId: session.sessionId, attempt: 1 });
    const before = await this.#surely(() => this.#bus.kv.get(launches, key));
    const launch: LaunchRecord = {
      v: 1,
      tenant: session.tenant,
      sessionId: session.sessionId,
      attempt: 1,
      provider: session.provider ?? "pool",
      profile: session.profile,
      state,
      by: "exchange",
      takeovers: 0,
      at: AT,
      writeId: `${state} ${call?.status} ${this.#clock.monotonic()}`,
      ...(call === undefined ? {} : { call: { ...before?.value.call, ...call } }),
    };
    await this.#surely(() => this.#bus.kv.update(launches, launch, before?.revision ?? 0));
  }

  #end(key: string, endedReason: EndedReason, reason: string, wasRetryable?: false): Promise<void> {
    return this.#change(sessions, key, (record) => ({
      ...record,
      state: "ended",
      endedReason,
      failures: wasRetryable === false ? 1 : record.maxAttempts,
      history: [...record.history, { state: "ended", at: AT, attempt: 1, reason }],
    }));
  }

  async #change(
    bucket: Bucket<SessionRecord>,
    key: string,
    change: (record: SessionRecord) => SessionRecord,
  ): Promise<void> {
    for (;;) {
      const found = await this.#surely(() => this.#bus.kv.get(bucket, key));
      if (found === undefined || found.value.state === "ended") return;
      const next = {
        ...change(found.value),
        writeId: `exchange ${this.#clock.monotonic()} ${found.revision}`,
      };
      if ((await this.#surely(() => this.#bus.kv.update(bucket, next, found.revision))) !== undefined) return;
    }
  }

  async #surely<T>(work: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await work();
      } catch {
        await sleep(this.#clock, 100);
      }
    }
  }
}

async function surely<T>(work: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await work();
    } catch (error) {
      if (tries === 20) throw error;
    }
  }
}
