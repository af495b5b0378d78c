// Runs thousands of seeds on all cores: worker processes fetch chunks of seeds until none is left.
import { type ChildProcess, fork } from "node:child_process";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { Coverage } from "./checks/coverage.ts";
import type { Violation } from "./trace.ts";

/** The task of a worker process; excludes planted bugs, which are code and can't be sent. */
export interface Task {
  readonly from: number;
  readonly count: number;
  readonly options: { readonly clocks?: "right" | "wrong" };
}

export interface Failing {
  readonly seed: number;
  readonly violations: number;
  readonly first: Violation;
}

export interface Done {
  readonly failing: readonly Failing[];
  readonly coverage: readonly (readonly [string, number])[];
  readonly virtualMs: number;
  /** Since the start of the worker. */
  readonly cpuMs: number;
}

export type FromWorker =
  | ({ readonly type: "done" } & Done)
  | { readonly type: "crashed"; readonly seed: number; readonly reason: string };

export interface ManySeeds {
  readonly from: number;
  readonly count: number;
  readonly options?: Task["options"];
  readonly workers?: number;
  readonly onFailing?: (failing: Failing) => void;
}

export interface Result {
  readonly seeds: number;
  readonly failing: readonly Failing[];
  readonly coverage: Coverage;
  readonly virtualMs: number;
  readonly cpuMs: number;
}

const CHUNK = 50;
const WORKER = fileURLToPath(new URL("worker.ts", import.meta.url));

export const commandFor = (seed: number): string => `npm run sim -- --seed ${seed}`;

/** @throws Error with the seed that crashed its worker process */
export async function runMany({ from, count, options = {}, workers, onFailing }: ManySeeds): Promise<Result> {
  const failing: Failing[] = [];
  const coverage = new Coverage();
  let next = from;
  let virtualMs = 0;
  let cpuMs = 0;
  const end = from + count;
  const take = (): Task | undefined => {
    if (next >= end) return undefined;
    const task = { from: next, count: Math.min(CHUNK, end - next), options };
    next += task.count;
    return task;
  };
  const work = async () => {
    let ownCpuMs = 0;
    await withWorker(async (run) => {
      for (let task = take(); task !== undefined; task = take()) {
        const done = await run(task);
        for (const each of done.failing) onFailing?.(each);
        failing.push(...done.failing);
        coverage.add(done.coverage);
        virtualMs += done.virtualMs;
        ownCpuMs = done.cpuMs;
      }
    });
    cpuMs += ownCpuMs;
  };
  await Promise.all(Array.from({ length: workers ?? availableParallelism() }, work));
  return { seeds: count, failing, coverage, virtualMs, cpuMs };
}

async function withWorker(use: (run: (task: Task) => Promise<Done>) => Promise<void>): Promise<void> {
  const child = fork(WORKER, [], {
    execArgv: ["--import", "tsx"],
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  try {
    await use((task) => runIn(child, task));
  } finally {
    child.kill();
  }
}

function runIn(child: ChildProcess, task: Task): Promise<Done> {
  const seeds = `one of the seeds ${task.from} to ${task.from + task.count - 1}`;
  return new Promise((resolve, reject) => {
    const stop = () => {
      child.off("message", onMessage);
      child.off("exit", onExit);
    };
    const onExit = (code: number | null, signal: string | null) => {
      stop();
      reject(new Error(`The worker ended (${signal ?? code}) in ${seeds}.`));
    };
    const onMessage = (message: unknown) => {
      stop();
      const report = message as FromWorker;
      if (report.type === "done") resolve(report);
      else
        reject(
          new Error(
            `seed ${report.seed} crashed: ${report.reason}\nrepeat it with: ${commandFor(report.seed)}`,
          ),
        );
    };
    child.on("message", onMessage);
    child.on("exit", onExit);
    child.send(task);
  });
}
