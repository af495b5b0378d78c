// Simulated telephones, called by VAPI's stand-in. The seed decides whether they answer and when they hang up.
import { randomUUID } from "node:crypto";
import { telephoneFates } from "../../kit/fakes/telephone-fates.ts";
import { type StandInCall, startVapiStandIn, VAPI_KEY, type VapiStandIn } from "../../kit/fakes/vapi.ts";
import { integerBetween, pickOne, type Random } from "../../kit/random.ts";
import type { DialedCall, RunMs } from "./evidence.ts";

/** The profile whose calls VAPI makes. */
export const PHONE_PROFILE = "phone";
const EVERY_MS = 50;

interface Phone {
  readonly call: StandInCall;
  readonly fate: (typeof telephoneFates)[number];
  readonly dialedAtMs: RunMs;
  readonly ringsAtMs: RunMs;
  readonly decidesAtMs: RunMs;
  readonly hangsUpAtMs: RunMs;
}

export class Phones {
  readonly #vapi: VapiStandIn;
  readonly #random: Random;
  readonly #now: () => RunMs;
  readonly #phones = new Map<string, Phone>();
  readonly #timer: NodeJS.Timeout;
  readonly #assistant = randomUUID();
  readonly #number = randomUUID();

  static async open(random: Random, now: () => RunMs): Promise<Phones> {
    return new Phones(await startVapiStandIn(), random, now);
  }

  private constructor(vapi: VapiStandIn, random: Random, now: () => RunMs) {
    this.#vapi = vapi;
    this.#random = random;
    this.#now = now;
    this.#timer = setInterval(() => this.#look(), EVERY_MS);
  }

  /** Settings for every service. */
  get settings(): Readonly<Record<string, string>> {
    return {
      GREENROOM_PROVIDERS: `${PHONE_PROFILE}=vapi:${this.#assistant}`,
      GREENROOM_VAPI_URL: this.#vapi.url,
      GREENROOM_VAPI_KEY: VAPI_KEY,
      GREENROOM_VAPI_NUMBERS: this.#number,
    };
  }

  /** All dialed calls, except calls deleted before they rang. */
  dialed(): DialedCall[] {
    this.#look();
    const kept = new Set(this.#vapi.calls);
    return [...this.#phones.values()].map(({ call, dialedAtMs }) => ({
      atMs: dialedAtMs,
      id: call.id,
      name: call.name ?? "",
      to: call.customer.number,
      wasAnswered: call.startedAt !== undefined,
      isLive: kept.has(call) && call.status !== "ended",
    }));
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#vapi.close();
  }

  #look(): void {
    const now = this.#now();
    for (const call of this.#vapi.calls) {
      if (!this.#phones.has(call.id)) this.#phones.set(call.id, this.#phoneOf(call, now));
      this.#advance(this.#phones.get(call.id)!, now);
    }
  }

  #phoneOf(call: StandInCall, now: RunMs): Phone {
    const random = this.#random;
    const fate = pickOne(random, telephoneFates);
    const ringsAtMs = now + integerBetween(random, 100, 1500);
    const decidesAtMs = ringsAtMs + integerBetween(random, 300, 6000);
    const hangsUpAtMs = decidesAtMs + integerBetween(random, 500, 12_000);
    return { call, fate, dialedAtMs: now, ringsAtMs, decidesAtMs, hangsUpAtMs };
  }

  #advance({ call, fate, ringsAtMs, decidesAtMs, hangsUpAtMs }: Phone, now: RunMs): void {
    const { id, status } = call;
    if (status === "queued" && now >= ringsAtMs) this.#vapi.move(id, "ringing");
    else if (status === "ringing" && now >= decidesAtMs) {
      if (fate === "answered") this.#vapi.move(id, "in-progress");
      else this.#vapi.move(id, "ended", fate);
    } else if (status === "in-progress" && now >= hangsUpAtMs)
      this.#vapi.move(id, "ended", "customer-ended-call");
  }
}
