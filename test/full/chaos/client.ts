// A client that uses Greenroom during the faults, and records its answers and what it heard.

import { integerBetween, pickOne, type Random } from "../../kit/random.ts";
import { type Listener, listenIn } from "../../kit/stack/listener.ts";
import type { Answer, ApiClient } from "./api-client.ts";
import type { Heard, RunMs, SentStart } from "./evidence.ts";

const PROFILE = "heard";
/** The `wait` of a start. */
const START_WAIT_MS = 5000;
/** The time for which a client retries a start. */
const TRIES_MS = 40_000;
/** The time for which a client polls until the session is ready. */
const READY_MS = 40_000;
/** The longest time that LiveKit may take for a join. */
const JOIN_MS = 15_000;
/** Tokens, which LiveKit repeats in its errors. */
const TOKENS = /eyJ[\w.-]+/g;
/** The shortest silence that is recorded. */
const GAP_MS = 500;

interface StartPlan {
  readonly key: string;
  readonly canary: string;
  readonly body: { userId: string; userName: string; profile: string; wait: number; metadata: object };
}

/** The records of all clients. */
export interface Notes {
  readonly starts: SentStart[];
  readonly heard: Heard[];
  /** Failures of the load itself, for example a join that LiveKit refused. */
  readonly problems: string[];
}

interface Options {
  /** Unique among the clients. */
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

  /** Runs one session after the other. */
  async run(isOver: () => boolean): Promise<void> {
    const { random } = this.#options;
    while (!isOver()) {
      await this.#oneSession(random);
      await sleep(integerBetween(random, 200, 2000));
    }
  }

  async #oneSession(random: Random): Promise<void> {
    const plan = this.#plan(random);
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
        ? await this.#race(plan, random)
        : await this.#start(plan, gateway, this.#options.now() + TRIES_MS);
    const sessionId: string | undefined = first?.body?.sessionId;
    if (sessionId === undefined) return;
    if (kind === "early") return await this.#end(sessionId, gateway);
    const join = await this.#ready(first!, sessionId, gateway, plan);
    if (join === undefined) return;
    // No user joins. A deadline ends the session, or the end of the run.
    if (kind === "left") return;
    if (kind === "words") await this.#otherWords(plan, gateway);
    if (kind === "call" || kind === "race") {
      await this.#call(sessionId, join, plan.canary, integerBetween(random, 5000, 20_000));
      if (random() < 0.5) return; // The session ends because its user has left.
    } else {
      await sleep(integerBetween(random, 500, 6000));
    }
    await this.#api.get(gateway, `/api/session/${sessionId}`, plan.canary);
    await this.#end(sessionId, gateway);
  }

  #plan(random: Random): StartPlan {
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

  /** Retries a start at alternating gateways until it is accepted or finally refused. */
  async #start(plan: StartPlan, gateway: number, untilMs: RunMs): Promise<Answer | undefined> {
    for (let tries = 0; ; tries++) {
      const answer = await this.#ask(plan, gateway + tries);
      if (answer.status === 200 || answer.status === 202) return answer;
      // An accepted session that has ended is answered with an error, also on a retry.
      if (answer.body?.error?.sessionId !== undefined) return undefined;
      if (this.#options.now() > untilMs) return undefined;
      await sleep(500);
    }
  }

  /** Sends the same start several times, to both gateways at once. */
  async #race(plan: StartPlan, random: Random): Promise<Answer | undefined> {
    const untilMs = this.#options.now() + TRIES_MS;
    const racers = Array.from({ length: integerBetween(random, 2, 4) }, (_, index) =>
      this.#start(plan, index, untilMs),
    );
    return (await Promise.all(racers)).find((answer) => answer !== undefined);
  }

  /** Reuses the key for another request, which must be refused. */
  async #otherWords(plan: StartPlan, gateway: number): Promise<void> {
    const body = { ...plan.body, wait: 0, metadata: { words: "other words" } };
    await this.#ask({ ...plan, body }, gateway);
  }

  async #ask({ key, canary, body }: StartPlan, gateway: number): Promise<Answer> {
    const sentAtMs = this.#options.now();
    const answer = await this.#api.post(gateway, "/api/session/start", body, key);
    const isAccepted = answer.status === 200 || answer.status === 202;
    const errorCode: string | undefined = answer.body?.error?.code;
    this.#options.notes.starts.push({
      sentAtMs,
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

  /** Waits until the agent is ready. @returns how to join, undefined if the session ended or the time is over */
  async #ready(first: Answer, id: string, gateway: number, plan: StartPlan): Promise<Join | undefined> {
    if (first.body.status === "ready") return first.body as Join;
    const untilMs = this.#options.now() + READY_MS;
    for (let tries = 0; this.#options.now() < untilMs; tries++) {
      const { body } = await this.#api.get(gateway + tries, `/api/session/${id}`, plan.canary);
      if (body?.status === "ended") return undefined;
      if (body?.status === "ready") {
        const again = await this.#start(plan, gateway + tries, untilMs);
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
      // A join that succeeds too late must not stay.
      joining.then((late) => late.leave()).catch(() => {});
      this.#options.notes.problems.push(
        `${sessionId}: its user failed to join: ${String(error).replace(TOKENS, "[token]")}`,
      );
      return;
    }
    const untilMs = this.#options.now() + talkMs;
    let wasRemovedAtMs: number | undefined;
    while (this.#options.now() < untilMs && wasRemovedAtMs === undefined) {
      await sleep(100);
      if (ears.isOut()) wasRemovedAtMs = this.#options.now();
    }
    const overAtMs = this.#options.now();
    if (wasRemovedAtMs === undefined) await within(5000, ears.leave()).catch(() => {});
    else if (await this.#hasEnded(sessionId, canary)) wasRemovedAtMs = undefined;
    // The listener's times are performance.now(); the run's times start at its beginning.
    const shift = performance.now() - this.#options.now();
    const sounds = ears.sounds.map(({ atMs }) => atMs - shift);
    this.#options.notes.heard.push({
      sessionId,
      identity: join.identity,
      gaps: gapsIn(sounds, overAtMs),
      ...(wasRemovedAtMs === undefined ? {} : { wasRemovedAtMs }),
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
    late = setTimeout(() => reject(new Error(`timed out after ${ms} ms`)), ms);
  });
  return Promise.race([work, isLate]).finally(() => clearTimeout(late));
}
