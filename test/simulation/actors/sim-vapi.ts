// VAPI as a simulation plays it: an API that fails, and telephones that ring, are busy, are answered and hang up.
import { GreenroomError } from "../../../libs/contracts/errors.ts";
import type { Clock } from "../../../libs/runtime/clock.ts";
import type { Vapi } from "../../../services/providers/drivers/vapi.ts";
import type { Created } from "../../../services/providers/drivers/vapi-api.ts";
import type { VapiCall } from "../../../services/providers/drivers/vapi-status.ts";
import { telephoneFates } from "../../kit/fakes/telephone-fates.ts";
import { pickOne, type Random } from "../../kit/random.ts";

export interface SimCall {
  readonly id: string;
  readonly name: string;
  readonly to: string;
  readonly madeAtMs: number;
  status: "queued" | "ringing" | "in-progress" | "ended";
  endedReason?: string;
  wasAnswered: boolean;
}

interface PhoneWatch {
  onDial(name: string): void;
  onAnswer(name: string): void;
}

interface Settings {
  /** Of one question. */
  readonly failRate: () => number;
  readonly watch: PhoneWatch;
}

const ANSWER_MS = 3000;
/** Somebody must hang up such a call from here. */
const LONG_MS = 300_000;

export class SimVapi {
  /** Every call that was ever made. */
  readonly calls: SimCall[] = [];
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #settings: Settings;
  readonly #deleted = new Set<SimCall>();

  constructor(clock: Clock, random: Random, settings: Settings) {
    this.#clock = clock;
    this.#random = random;
    this.#settings = settings;
  }

  /** Calls that go on. */
  live(): SimCall[] {
    return this.calls.filter(({ status }) => status !== "ended");
  }

  /** The API for one process, on whose clock the answers come. */
  forProcess(clock: Clock): Vapi {
    const ask = <T>(doing: string, act: () => T) => this.#ask(clock, doing, act);
    return {
      create: (body) =>
        ask("making a call", (): Created => ({ is: "created", call: shown(this.#dial(body as Body)) })).catch(
          (error: unknown): Created => ({ is: "unconfirmed", reason: String(error) }),
        ),
      get: (id) => ask(`looking at ${id}`, () => this.#shownOf((call) => call.id === id)),
      find: (name) => ask(`looking for ${name}`, () => this.#shownOf((call) => call.name === name)),
      hangUp: (url) => ask(`ending ${url}`, () => this.#hangUp(url)),
      delete: (id) => ask(`deleting ${id}`, () => this.#delete(id)),
    };
  }

  /** It may fail before or after it was done, and at once or after a time-out. */
  #ask<T>(clock: Clock, doing: string, act: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      const fails = this.#random() < this.#settings.failRate();
      const isDone = this.#random() < 0.5;
      const slowly = this.#random() < 0.3;
      this.#clock.after(this.#between(1, 80), () => {
        const result = fails && !isDone ? undefined : act();
        if (!fails) return void clock.after(this.#between(1, 80), () => resolve(result as T));
        const error = new GreenroomError("provider_unavailable", `${doing}: the simulation lets it fail.`);
        clock.after(slowly ? ANSWER_MS : 2, () => reject(error));
      });
    });
  }

  #dial({ name, customer }: Body): SimCall {
    this.#settings.watch.onDial(name);
    const call: SimCall = {
      id: `call-${this.calls.length + 1}`,
      name,
      to: customer.number,
      madeAtMs: this.#clock.monotonic(),
      status: "queued",
      wasAnswered: false,
    };
    this.calls.push(call);
    const fate = pickOne(this.#random, telephoneFates);
    const ringsAfter = this.#between(50, 1500);
    const decidesAfter = ringsAfter + this.#between(200, 3500);
    const isLong = this.#random() < 0.2;
    const hangsUpAfter = decidesAfter + (isLong ? LONG_MS : this.#between(300, 8000));
    this.#later(call, ringsAfter, "queued", () => {
      call.status = "ringing";
    });
    this.#later(call, decidesAfter, "ringing", () => {
      if (fate !== "answered") return end(call, fate);
      call.status = "in-progress";
      call.wasAnswered = true;
      this.#settings.watch.onAnswer(name);
    });
    this.#later(call, hangsUpAfter, "in-progress", () => end(call, "customer-ended-call"));
    return call;
  }

  #later(call: SimCall, ms: number, from: SimCall["status"], move: () => void): void {
    this.#clock.after(ms, () => {
      if (call.status === from) move();
    });
  }

  /** Only a call that rings or talks takes commands. */
  #hangUp(url: string): boolean {
    const call = this.calls.find(({ id }) => id === url);
    if (call === undefined || call.status === "queued" || call.status === "ended") return false;
    end(call, "manually-canceled");
    return true;
  }

  #delete(id: string): void {
    const call = this.calls.find((each) => each.id === id);
    if (call === undefined) return;
    end(call, "call-deleted");
    this.#deleted.add(call);
  }

  #shownOf(isIt: (call: SimCall) => boolean): VapiCall | undefined {
    const call = this.calls.find((each) => isIt(each) && !this.#deleted.has(each));
    return call === undefined ? undefined : shown(call);
  }

  #between(from: number, to: number): number {
    return from + this.#random() * (to - from);
  }
}

interface Body {
  readonly name: string;
  readonly customer: { readonly number: string };
}

function end(call: SimCall, reason: string): void {
  call.status = "ended";
  call.endedReason = reason;
}

const shown = ({ id, name, status, endedReason, wasAnswered }: SimCall): VapiCall => ({
  id,
  name,
  status,
  ...(endedReason === undefined ? {} : { endedReason }),
  ...(wasAnswered ? { startedAt: "2026-01-01T12:00:00.000Z" } : {}),
  monitor: { controlUrl: id },
});
