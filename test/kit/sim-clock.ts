// Virtual time for simulations: it jumps from timer to timer, so minutes take milliseconds.
import type { Clock } from "../../libs/runtime/clock.ts";

/** 2026-01-01T00:00:00Z: where simulated time begins. */
const START_MS = 1_767_225_600_000;
/** How many timers run between two turns of the real event loop, so that a test's own time-out can strike. */
const TURN_EVERY = 1000;

/** The clock of one simulated process. Only its own timers are touched by what is done to it. */
export interface ProcessClock extends Clock {
  /** As `kill -9`: none of its timers ever calls again. */
  kill(): void;
  /** As SIGSTOP: timers that fall due wait, and are called in their order on `resume`. */
  pause(): void;
  resume(): void;
}

export interface SimClock extends Clock {
  /** A clock for one process, whose `now` is off by `offsetMs`; its `monotonic` begins at 0. */
  forProcess(offsetMs?: number): ProcessClock;
  /** Lets everything happen that falls due within `ms`, and stands at the end of it. */
  advance(ms: number): Promise<void>;
  /**
   * Lets things happen until `isReached`, which is asked after each timer.
   * @returns false when it is not reached within `maxMs`, or when nothing is left to happen.
   */
  runUntil(isReached: () => boolean, maxMs: number): Promise<boolean>;
  /** Lets everything happen that needs no time. */
  settle(): Promise<void>;
  /** Timers that were called so far: equal for two runs only if they went the same way. */
  readonly timersCalled: number;
}

interface Timer {
  readonly atMs: number;
  /** Timers of the same time are called in the order in which they were set. */
  readonly order: number;
  call: (() => void) | undefined;
}

/**
 * A clock whose time passes only in `advance` and `runUntil`. After each timer all promises that can settle
 * do so before the next: one order of events, whatever the machine does meanwhile. What runs on it must not
 * wait for real input, output or timers, nor for the crypto of another thread.
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
      await settled();
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
      await settled();
      while (await callNext(untilMs));
      nowMs = untilMs;
    },
    async runUntil(isReached, maxMs) {
      const untilMs = nowMs + maxMs;
      await settled();
      while (!isReached()) {
        if (!(await callNext(untilMs))) return false;
      }
      return true;
    },
    settle: settled,
    get timersCalled() {
      return called;
    },
  };
}

/**
 * Answers when no promise can settle any more. Node runs its tick queue only when the queue of promises is
 * empty, so a tick comes after all of them, and costs no turn of the event loop. Ticks that others asked for
 * may settle promises anew, hence the second one.
 */
const settled = async (): Promise<void> => {
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
      // Each as a timer of its own, as after SIGCONT: what one of them cancels isn't called.
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

/** A binary heap by time, then order. A cancelled timer stays in it until its time has come. */
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
