// A client's connection to the memory server, which passes, delays or loses messages.

import { WORKING_MS } from "../../../libs/bus/delivery-rules.ts";
import type { Clock } from "../../../libs/runtime/clock.ts";
import type { Fates } from "./faults.ts";

/** The server gives up a silent client after this time, like with `ping_interval 10s` and `ping_max 2`. */
const STALE_AFTER_MS = 20_000;
/** A cut-off client notices after this time, like with `pingInterval: 3000` and `maxPingOut: 2`. */
const NOTICED_AFTER_MS = 6000;
/** How long the server keeps a pull request for messages, like with `expires: 5000`. */
const PULL_EXPIRES_MS = 5000;

type Work = () => void;

/**
 * The connection of one client. A crashed client's messages are dropped in both directions for ever. A paused
 * client's messages wait until it resumes, like with SIGSTOP. A cut-off client receives nothing and sends into a
 * buffer, part of which the network loses.
 */
export class Link {
  readonly name: string;
  readonly #clock: Clock;
  readonly #fates: Fates;
  #state: "open" | "closed" | "crashed" = "open";
  #isPaused = false;
  #isCut = false;
  #silentSinceMs: number | undefined;
  #waiting: Work[] = [];
  #buffered: Work[] = [];
  readonly #whenGone = new Set<Work>();
  readonly #whenBack = new Set<Work>();

  constructor(name: string, clock: Clock, fates: Fates) {
    this.name = name;
    this.#clock = clock;
    this.#fates = fates;
  }

  /** Sends from the process to the server. `isKept`: the client repeats the message after a reconnection. */
  send(work: Work, isKept = false): void {
    if (this.#state !== "open") return;
    if (this.#isPaused) this.#waiting.push(() => this.send(work, isKept));
    else if (!this.#isCut) this.#hop(work);
    else if (isKept || this.#fates.pick([true, false])) this.#buffered.push(work);
  }

  /** Sends from the server to the process; `lost` is called at the server if the message never arrives. */
  deliver(work: Work, lost: Work = () => {}): void {
    this.#hop(() => {
      if (this.#state !== "open" || this.#isCut || this.isStale()) lost();
      else if (this.#isPaused) this.#waiting.push(work);
      else work();
    });
  }

  /** Runs a task inside the process, such as a timer of its client. */
  run(work: Work): void {
    if (this.#state === "crashed") return;
    if (this.#isPaused) this.#waiting.push(work);
    else work();
  }

  crash(): void {
    if (this.#state === "crashed") return;
    this.#silentSinceMs ??= this.#clock.monotonic();
    this.#leave("crashed");
  }

  close(): void {
    if (this.#state !== "open") return;
    // A closed client can no longer report that it works on its messages.
    this.#silentSinceMs ??= this.#clock.monotonic();
    this.#leave("closed");
  }

  pause(): void {
    if (this.#isPaused || this.#state !== "open") return;
    this.#isPaused = true;
    this.#silentSinceMs ??= this.#clock.monotonic();
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const work of waiting) this.run(work);
    this.#comeBack();
  }

  cut(): void {
    this.#isCut = true;
    this.#silentSinceMs ??= this.#clock.monotonic();
  }

  heal(): void {
    if (!this.#isCut) return;
    this.#isCut = false;
    const buffered = this.#buffered;
    this.#buffered = [];
    for (const work of buffered) this.send(work);
    this.#comeBack();
  }

  /** Calls back when the client is gone for good, or at once if it already is. */
  whenGone(work: Work): void {
    if (this.#state === "open") this.#whenGone.add(work);
    else work();
  }

  /** Calls back whenever the client is reachable again after a silence. */
  whenBack(work: Work): () => void {
    this.#whenBack.add(work);
    return () => this.#whenBack.delete(work);
  }

  hasCrashed(): boolean {
    return this.#state === "crashed";
  }

  isClosed(): boolean {
    return this.#state === "closed";
  }

  /** Whether the server currently receives the client's messages. */
  isHeard(): boolean {
    return this.#state === "open" && this.#silentSinceMs === undefined;
  }

  /** Whether the server has given up the client, which suspends its subscriptions until it is back. */
  isStale(): boolean {
    return this.#state !== "open" || this.#silentForMs() >= STALE_AFTER_MS;
  }

  /** A client that fell silent still has pull requests at the server. */
  mayBeSentMessages(): boolean {
    return this.#state === "open" && this.#silentForMs() < PULL_EXPIRES_MS;
  }

  knowsItIsConnected(): boolean {
    return this.#state === "open" && !(this.#isCut && this.#silentForMs() >= NOTICED_AFTER_MS);
  }

  /** When the client last reported that it works on a message it has held since `sinceMs`. */
  lastSignOfLifeMs(sinceMs: number): number {
    const untilMs = this.#silentSinceMs ?? this.#clock.monotonic();
    return sinceMs + Math.max(0, Math.floor((untilMs - sinceMs) / WORKING_MS) * WORKING_MS);
  }

  #silentForMs(): number {
    return this.#silentSinceMs === undefined ? 0 : this.#clock.monotonic() - this.#silentSinceMs;
  }

  #hop(work: Work): void {
    const ms = this.#fates.hopMs();
    if (ms > 0) this.#clock.after(ms, work);
    else queueMicrotask(work);
  }

  #leave(state: "closed" | "crashed"): void {
    this.#state = state;
    this.#waiting = [];
    this.#buffered = [];
    for (const work of this.#whenGone) work();
    this.#whenGone.clear();
    this.#whenBack.clear();
  }

  #comeBack(): void {
    if (this.#isPaused || this.#isCut || this.#state !== "open") return;
    this.#silentSinceMs = undefined;
    for (const work of [...this.#whenBack]) work();
  }
}
