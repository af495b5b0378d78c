// A simulated VAPI: an API that fails, and phones that ring, are busy, answer and hang up.
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
  /** The probability that one API call fails. */
  readonly failRate: () => number;
  readonly watch: PhoneWatch;
}

const ANSWER_MS = 3000;
/** Such a call lasts until our side hangs up. */
const LONG_MS = 300_000;

export class SimVapi {
  /** Every call ever made. */
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

  /** Calls that have not ended. */
  live(): SimCall[] {
    return this.calls.filter(({ status }) => status !== "ended");
  }

  /** The API for one process, on whose clock the answers arrive. */
  forProcess(clock: Clock): Vapi {
    const request = <T>(doing: string, act: () => T) => this.#request(clock, doing, act);
    return {
      create: (body) =>
        request(
          "making a call",
          (): Created => ({ is: "created", call: toVapiCall(this.#dial(body as Body)) }),
        ).catch((error: unknown): Created => ({ is: "unconfirmed", reason: String(error) })),
      get: (id) => request(`looking at ${id}`, () => this.#find((call) => call.id === id)),
      find: (name) => request(`looking for ${name}`, () => this.#find((call) => call.name === name)),
      hangUp: (url) => request(`ending ${url}`, () => this.#hangUp(url)),
      delete: (id) => request(`deleting ${id}`, () => this.#delete(id)),
    };
  }

  /** A failing call fails before or after its effect, at once or after a time-out. */
  #request<T>(clock: Clock, doing: string, act: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      const fails = this.#random() < this.#settings.failRate();
      const isDone = this.#random() < 0.5;
      const slowly = this.#random() < 0.3;
      this.#clock.after(this.#between(1, 80), () => {
        const result = fails && !isDone ? undefined : act();
        if (!fails) return void clock.after(this.#between(1, 80), () => resolve(result as T));
        const error = new GreenroomError("provider_unavailable", `${doing}: a simulated failure.`);
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

  /** Only a ringing or connected call accepts commands. */
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

  #find(matches: (call: SimCall) => boolean): VapiCall | undefined {
    const call = this.calls.find((each) => matches(each) && !this.#deleted.has(each));
    return call === undefined ? undefined : toVapiCall(call);
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

const toVapiCall = ({ id, name, status, endedReason, wasAnswered }: SimCall): VapiCall => ({
  id,
  name,
  status,
  ...(endedReason === undefined ? {} : { endedReason }),
  ...(wasAnswered ? { startedAt: "2026-01-01T12:00:00.000Z" } : {}),
  monitor: { controlUrl: id },
});
