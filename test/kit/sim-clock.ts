// Virtual time for simulations. The clock jumps from timer to timer, so minutes take milliseconds.
import type { Clock } from "../../libs/runtime/clock.ts";

/** 2026-01-01T00:00:00Z, the start of simulated time. */
const START_MS = 1_767_225_600_000;
/** The number of timers between two turns of the real event loop, so that a test's own timeout can fire. */
const TURN_EVERY = 1000;

/** The clock of one simulated process. Its methods affect the timers of this process only. */
export interface ProcessClock extends Clock {
  /** Like `kill -9`: cancels every timer for good. */
  kill(): void;
  /** Like SIGSTOP: due timers wait for `resume`, which calls them in order. */
  pause(): void;
  resume(): void;
}

export interface SimClock extends Clock {
  /** A clock for one process, whose `now` is off by `offsetMs`; its `monotonic` begins at 0. */
  forProcess(offsetMs?: number): ProcessClock;
  /** Runs every timer that is due within `ms`, and moves the clock to the end of that time. */
  advance(ms: number): Promise<void>;
  /**
   * Runs timers until `isReached`, which is checked after each one.
   * @returns false when `maxMs` pass first, or when no timer is left
   */
  runUntil(isReached: () => boolean, maxMs: number): Promise<boolean>;
  /** Runs everything that needs no time. */
  flush(): Promise<void>;
  /** The number of timers called so far. Two runs that took the same course have the same number. */
  readonly timersCalled: number;
}

interface Timer {
  readonly atMs: number;
  /** Timers of the same time are called in the order in which they were set. */
  readonly order: number;
  call: (() => void) | undefined;
}

/**
 * A clock whose time passes only in `advance` and `runUntil`. All pending promises are resolved before the next
 * timer runs, so the order of events doesn't depend on the machine. Code on this clock must not wait for real I/O,
 * real timers or crypto on another thread.
 */
export function createSimClock(): SimClock {
  const timers = new TimerHeap();
  let nowMs = 0;
  let order = 0;
  let called = 0;

  const after = (ms: number, call: () => void) => {
    order += 1;
    const timer: Timer = { atMs: nowMs + Math.max(0, ms), order, call };
    timers.push(timer);
    return () => {
      timer.call = undefined;
    };
  };
  /** Calls the next timer up to a time; false when there is none. */
  const callNext = async (untilMs: number): Promise<boolean> => {
    for (;;) {
      const timer = timers.first();
      if (timer === undefined || timer.atMs > untilMs) return false;
      timers.shift();
      if (timer.call === undefined) continue;
      nowMs = timer.atMs;
      called += 1;
      timer.call();
      await flush();
      if (called % TURN_EVERY === 0) await new Promise(setImmediate);
      return true;
    }
  };
  return {
    now: () => START_MS + Math.floor(nowMs),
    monotonic: () => nowMs,
    after,
    forProcess: (offsetMs = 0) => createProcessClock({ monotonic: () => nowMs, after }, offsetMs),
    async advance(ms) {
      const untilMs = nowMs + ms;
      await flush();
      while (await callNext(untilMs));
      nowMs = untilMs;
    },
    async runUntil(isReached, maxMs) {
      const untilMs = nowMs + maxMs;
      await flush();
      while (!isReached()) {
        if (!(await callNext(untilMs))) return false;
      }
      return true;
    },
    flush,
    get timersCalled() {
      return called;
    },
  };
}

/**
 * Waits until no promise callback is left to run. Node runs its tick queue only when the promise queue is empty, so
 * a tick comes after all of them. Unlike a timer, a tick costs no turn of the event loop. Other ticks may resolve
 * more promises, hence the second tick.
 */
const flush = async (): Promise<void> => {
  await new Promise<void>((resolve) => process.nextTick(resolve));
  await new Promise<void>((resolve) => process.nextTick(resolve));
};

function createProcessClock(base: Pick<Clock, "monotonic" | "after">, offsetMs: number): ProcessClock {
  const startedAtMs = base.monotonic();
  let isDead = false;
  let isPaused = false;
  let due: { call: (() => void) | undefined }[] = [];
  return {
    now: () => START_MS + Math.floor(base.monotonic()) + offsetMs,
    monotonic: () => base.monotonic() - startedAtMs,
    after(ms, call) {
      const held: { call: (() => void) | undefined } = { call };
      const cancel = base.after(ms, () => {
        if (isDead) return;
        if (isPaused) due.push(held);
        else held.call?.();
      });
      return () => {
        held.call = undefined;
        cancel();
      };
    },
    kill() {
      isDead = true;
      due = [];
    },
    pause() {
      isPaused = true;
    },
    resume() {
      isPaused = false;
      const late = due;
      due = [];
      // Each call gets a timer of its own, like after SIGCONT, so that a call can cancel the later ones.
      for (const held of late) {
        base.after(0, () => {
          if (isDead) return;
          if (isPaused) due.push(held);
          else held.call?.();
        });
      }
    },
  };
}

/** A binary heap by time, then order. A cancelled timer stays in the heap until it is due. */
class TimerHeap {
  readonly #timers: Timer[] = [];

  first(): Timer | undefined {
    return this.#timers[0];
  }

  push(timer: Timer): void {
    const timers = this.#timers;
    let index = timers.push(timer) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (isBefore(timers[parent] as Timer, timer)) break;
      timers[index] = timers[parent] as Timer;
      index = parent;
    }
    timers[index] = timer;
  }

  shift(): void {
    const timers = this.#timers;
    const last = timers.pop();
    if (last === undefined || timers.length === 0) return;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= timers.length) break;
      const right = child + 1;
      if (right < timers.length && isBefore(timers[right] as Timer, timers[child] as Timer)) child = right;
      if (isBefore(last, timers[child] as Timer)) break;
      timers[index] = timers[child] as Timer;
      index = child;
    }
    timers[index] = last;
  }
}

const isBefore = (a: Timer, b: Timer): boolean => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
