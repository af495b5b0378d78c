// One who uses the product while it is hurt, and notes what it was told and what it heard.

import { integerBetween, pickOne, type Random } from "../../kit/random.ts";
import { type Listener, listenIn } from "../../kit/stack/listener.ts";
import type { Answer, ApiClient } from "./api-client.ts";
import type { Asked, Heard, RunMs } from "./evidence.ts";

const PROFILE = "heard";
/** How long a start waits for its agent. */
const START_WAIT_MS = 5000;
/** How long a client tries to get its session started. */
const TRIES_MS = 40_000;
/** How long it looks whether the session is ready. */
const READY_MS = 40_000;
/** How long LiveKit may take to let somebody in. */
const JOIN_MS = 15_000;
/** LiveKit repeats them in its errors. */
const TOKENS = /eyJ[\w.-]+/g;
/** Silence that counts. */
const GAP_MS = 500;

interface Wanted {
  readonly key: string;
  readonly canary: string;
  readonly body: { userId: string; userName: string; profile: string; wait: number; metadata: object };
}

/** What clients note. */
export interface Notes {
  readonly asked: Asked[];
  readonly heard: Heard[];
  /** What couldn't be done for a reason of the load's own, as a LiveKit that let nobody in. */
  readonly troubles: string[];
}

interface Options {
  /** Tells this client from the others. */
  readonly name: string;
  readonly random: Random;
  readonly api: ApiClient;
  readonly now: () => RunMs;
  readonly notes: Notes;
}

export class Client {
  readonly #options: Options;
  readonly #api: ApiClient;
  #count = 0;

  constructor(options: Options) {
    this.#options = options;
    this.#api = options.api;
  }

  /** One session after the other, until told to stop. */
  async run(isOver: () => boolean): Promise<void> {
    const { random } = this.#options;
    while (!isOver()) {
      await this.#oneSession(random);
      await sleep(integerBetween(random, 200, 2000));
    }
  }

  async #oneSession(random: Random): Promise<void> {
    const wanted = this.#want(random);
    const gateway = integerBetween(random, 0, 1);
    const kind = pickOne(random, [
      "call",
      "call",
      "call",
      "short",
      "short",
      "race",
      "words",
      "early",
      "left",
    ]);
    const first =
      kind === "race"
        ? await this.#race(wanted, random)
        : await this.#start(wanted, gateway, this.#options.now() + TRIES_MS);
    const sessionId: string | undefined = first?.body?.sessionId;
    if (sessionId === undefined) return;
    if (kind === "early") return await this.#end(sessionId, gateway);
    const join = await this.#ready(first!, sessionId, gateway, wanted);
    if (join === undefined) return;
    // Nobody comes to it: its limits end it, or the end of the run.
    if (kind === "left") return;
    if (kind === "words") await this.#otherWords(wanted, gateway);
    if (kind === "call" || kind === "race") {
      await this.#call(sessionId, join, wanted.canary, integerBetween(random, 5000, 20_000));
      if (random() < 0.5) return; // It ends because its user has left.
    } else {
      await sleep(integerBetween(random, 500, 6000));
    }
    await this.#api.get(gateway, `/api/session/${sessionId}`, wanted.canary);
    await this.#end(sessionId, gateway);
  }

  #want(random: Random): Wanted {
    this.#count += 1;
    const name = `${this.#options.name}-${this.#count}`;
    const canary = `canary-${name}-${Math.floor(random() * 2 ** 32).toString(36)}`;
    return {
      key: `key-${name}`,
      canary,
      body: {
        userId: `user-${name}`,
        userName: canary,
        profile: PROFILE,
        wait: START_WAIT_MS,
        metadata: { words: `words of ${name}` },
      },
    };
  }

  /** Asks until it is told a session or a refusal that stays one, each time at the other gateway. */
  async #start(wanted: Wanted, gateway: number, untilMs: RunMs): Promise<Answer | undefined> {
    for (let tries = 0; ; tries++) {
      const answer = await this.#ask(wanted, gateway + tries);
      if (answer.status === 200 || answer.status === 202) return answer;
      // One that was accepted and has ended is told as an error; asked again, it would be told again.
      if (answer.body?.error?.sessionId !== undefined) return undefined;
      if (this.#options.now() > untilMs) return undefined;
      await sleep(500);
    }
  }

  /** The same start at both gateways at once, and more than once. */
  async #race(wanted: Wanted, random: Random): Promise<Answer | undefined> {
    const untilMs = this.#options.now() + TRIES_MS;
    const racers = Array.from({ length: integerBetween(random, 2, 4) }, (_, index) =>
      this.#start(wanted, index, untilMs),
    );
    return (await Promise.all(racers)).find((answer) => answer !== undefined);
  }

  /** The same key for something else, which must be refused. */
  async #otherWords(wanted: Wanted, gateway: number): Promise<void> {
    const body = { ...wanted.body, wait: 0, metadata: { words: "other words" } };
    await this.#ask({ ...wanted, body }, gateway);
  }

  async #ask({ key, canary, body }: Wanted, gateway: number): Promise<Answer> {
    const askedAtMs = this.#options.now();
    const answer = await this.#api.post(gateway, "/api/session/start", body, key);
    const isAccepted = answer.status === 200 || answer.status === 202;
    const errorCode: string | undefined = answer.body?.error?.code;
    this.#options.notes.asked.push({
      askedAtMs,
      answeredAtMs: this.#options.now(),
      tenant: this.#api.tenant,
      idempotencyKey: key,
      words: JSON.stringify(body.metadata),
      status: answer.status,
      ...(isAccepted ? { sessionId: answer.body.sessionId as string } : {}),
      ...(errorCode === undefined ? {} : { errorCode }),
      canary,
    });
    return answer;
  }

  /** Waits until the agent is ready. @returns how to join; undefined when the session ended or nobody could say */
  async #ready(first: Answer, id: string, gateway: number, wanted: Wanted): Promise<Join | undefined> {
    if (first.body.status === "ready") return first.body as Join;
    const untilMs = this.#options.now() + READY_MS;
    for (let tries = 0; this.#options.now() < untilMs; tries++) {
      const { body } = await this.#api.get(gateway + tries, `/api/session/${id}`, wanted.canary);
      if (body?.status === "ended") return undefined;
      if (body?.status === "ready") {
        const again = await this.#start(wanted, gateway + tries, untilMs);
        return again?.body.token === undefined ? undefined : (again.body as Join);
      }
      await sleep(400);
    }
    return undefined;
  }

  async #call(sessionId: string, join: Join, canary: string, talkMs: number): Promise<void> {
    const joining = listenIn(join);
    let ears: Listener;
    try {
      ears = await within(JOIN_MS, joining);
    } catch (error) {
      // One that gets in later after all is not to stay.
      joining.then((late) => late.leave()).catch(() => {});
      this.#options.notes.troubles.push(
        `${sessionId}: its user could not join: ${String(error).replace(TOKENS, "[token]")}`,
      );
      return;
    }
    const untilMs = this.#options.now() + talkMs;
    let wasPutOutAtMs: number | undefined;
    while (this.#options.now() < untilMs && wasPutOutAtMs === undefined) {
      await sleep(100);
      if (ears.isOut()) wasPutOutAtMs = this.#options.now();
    }
    const overAtMs = this.#options.now();
    if (wasPutOutAtMs === undefined) await within(5000, ears.leave()).catch(() => {});
    else if (await this.#hasEnded(sessionId, canary)) wasPutOutAtMs = undefined;
    // The listener's times are of performance.now(), ours count from the beginning of the run.
    const shift = performance.now() - this.#options.now();
    const sounds = ears.sounds.map(({ atMs }) => atMs - shift);
    this.#options.notes.heard.push({
      sessionId,
      identity: join.identity,
      gaps: gapsIn(sounds, overAtMs),
      ...(wasPutOutAtMs === undefined ? {} : { wasPutOutAtMs }),
    });
  }

  async #hasEnded(sessionId: string, canary: string): Promise<boolean> {
    for (let gateway = 0; gateway < 4; gateway++) {
      const { body } = await this.#api.get(gateway, `/api/session/${sessionId}`, canary);
      if (body?.status !== undefined) return body.status === "ended";
    }
    return false;
  }

  async #end(sessionId: string, gateway: number): Promise<void> {
    for (let tries = 0; tries < 4; tries++) {
      const { status } = await this.#api.post(gateway + tries, `/api/session/${sessionId}/end`, {});
      if (status >= 200 && status < 500) return;
      await sleep(500);
    }
  }
}

interface Join {
  readonly url: string;
  readonly token: string;
  readonly identity: string;
}

function gapsIn(sounds: readonly number[], overAtMs: number): { fromMs: number; toMs: number }[] {
  const times = sounds.filter((atMs) => atMs <= overAtMs);
  if (times.length === 0) return [];
  return [...times, overAtMs].flatMap((toMs, index) => {
    const fromMs = times[index - 1];
    return fromMs !== undefined && toMs - fromMs > GAP_MS ? [{ fromMs, toMs }] : [];
  });
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let late: NodeJS.Timeout | undefined;
  const isLate = new Promise<never>((_, reject) => {
    late = setTimeout(() => reject(new Error(`it took more than ${ms} ms`)), ms);
  });
  return Promise.race([work, isLate]).finally(() => clearTimeout(late));
}
