// Simulated clients: start sessions, join, hang up, rejoin, and repeat their requests.

import { sessions } from "../../../libs/contracts/buckets.ts";
import { isError, messageOf } from "../../../libs/contracts/errors.ts";
import { DEFAULT_TENANT, sessionKey } from "../../../libs/contracts/ids.ts";
import type { StartRequest } from "../../../libs/contracts/sessions/http.ts";
import type { SessionState } from "../../../libs/contracts/sessions/session.ts";
import { fingerprint } from "../../../libs/domain/ids.ts";
import { repeat, sleep } from "../../../libs/runtime/clock.ts";
import { endSession } from "../../../services/gateway/sessions/end-session.ts";
import { sessionIdOfKey } from "../../../services/gateway/sessions/session-ids.ts";
import { startSession } from "../../../services/gateway/sessions/start-session.ts";
import { forkRandom, integerBetween, pickOne, type Random } from "../../kit/random.ts";
import type { Guest } from "../livekit/sim-livekit.ts";
import { PROVIDED } from "../services.ts";
import type { World } from "../world.ts";
import { answered, pickGateway } from "./gateway-client.ts";

/** A start that was answered with success, after which the session must exist. */
export interface Accepted {
  readonly key: string;
  readonly sessionId: string;
  readonly requestHash: string;
}

const MAX_TRIES = 8;
/** How often a client in a room looks whether its session goes on. */
const LOOK_MS = 1000;

export class Client {
  readonly name: string;
  readonly #world: World;
  readonly #random: Random;
  /** Decides on later additions, so that older seeds keep their worlds. */
  readonly #habits: Random;
  /** Decides whether the client requests an external agent. */
  readonly #external: Random;
  readonly #key: string;
  /** A client without a key never repeats a request, since each one would be another session. */
  readonly #hasKey: boolean;
  readonly accepted: Accepted[] = [];
  readonly sessionId: string;
  #seat: { room: string; guest: Guest } | undefined;

  constructor(world: World, index: number) {
    this.#world = world;
    this.name = `call-${index}`;
    this.#key = `key of ${this.name}`;
    this.#random = forkRandom(world.scenario.seed, this.name);
    this.#habits = forkRandom(world.scenario.seed, `habits of ${this.name}`);
    this.#external = forkRandom(world.scenario.seed, `wishes of ${this.name}`);
    this.#hasKey = forkRandom(world.scenario.seed, `key of ${this.name}`)() < 0.6;
    this.sessionId = sessionIdOfKey(DEFAULT_TENANT, this.#key);
    world.trace.label(this.sessionId, this.name);
  }

  /** Runs the client from start to end; never throws. */
  async live(): Promise<void> {
    const { clock, scenario } = this.#world;
    const random = this.#random;
    await sleep(clock, random() * scenario.chaosMs * 0.8);
    const request = this.#request();
    const others: Promise<unknown>[] = [];
    if (random() < 0.3 && this.#hasKey) others.push(this.#start(request));
    if (random() < 0.15 && this.#hasKey) others.push(this.#start({ ...request, userName: "somebody else" }));
    await Promise.all([this.#start(request), ...others]);
    if (this.accepted.length === 0) return;
    if (this.#habits() < 0.2) void this.#joinEarly();
    const becameReady = await this.#awaitReady();
    if (!becameReady || random() < 0.1) return;
    await sleep(clock, random() * 1000);
    this.#join();
    await sleep(clock, random() * 15_000);
    if (random() < 0.3) {
      this.#hangUp();
      await sleep(clock, random() * 5000);
      this.#join();
      await sleep(clock, random() * 5000);
    }
    const how = pickOne(random, ["ends", "hangs up", "stays"]);
    if (how === "ends") await this.end(1);
    if (how !== "stays") this.#hangUp();
  }

  /** Leaves the room soon after the end of the session, as users do who hear nothing any more. */
  #leaveAfterEnd(): void {
    const { clock, server } = this.#world;
    const key = sessionKey({ tenant: DEFAULT_TENANT, sessionId: this.sessionId });
    const stop = repeat(
      clock,
      LOOK_MS,
      async () => {
        if (this.#seat === undefined) stop();
        else if (server.entries(sessions).some((entry) => entry.key === key && entry.value.state === "ended"))
          this.#hangUp();
      },
      () => {},
    );
  }

  /** Retries until a gateway accepts the end of the session. */
  async end(tries = 20): Promise<void> {
    const { clock, trace } = this.#world;
    for (let turn = 0; turn < tries; turn++) {
      const gateway = pickGateway(this.#world, this.#random);
      if (gateway !== undefined) {
        trace.note(this.name, `sends an end to ${gateway.instance}`);
        const result = await answered(clock, endSession(gateway, this.sessionId));
        if ("value" in result || isError(result.error, "not_found")) return;
        trace.note(this.name, `failed to end: ${messageOf(result.error)}`);
      }
      await sleep(clock, 300);
    }
  }

  #request(): StartRequest {
    const random = this.#random;
    const request: StartRequest = {
      profile: pickOne(random, this.#world.scenario.profiles as [string, ...string[]]),
      userId: this.name,
      userName: this.name,
      metadata: { from: this.name },
      wait: integerBetween(random, 0, 1000),
      ...(random() < 0.15 ? { room: `room-of-${this.name}` } : {}),
    };
    const { outside } = this.#world.scenario;
    if (outside === undefined || this.#external() >= outside.wanted) return request;
    // Either the gateway's settings name the provider of the profile, or the request does.
    return this.#external() < 0.7 ? { ...request, profile: PROVIDED } : { ...request, provider: "livekit" };
  }

  async #start(request: StartRequest): Promise<void> {
    const { clock, trace } = this.#world;
    const { wait: _, ...requestBody } = request;
    for (let turn = 0; turn < MAX_TRIES; turn++) {
      const gateway = pickGateway(this.#world, this.#random);
      if (gateway === undefined) {
        await sleep(clock, 500);
        continue;
      }
      trace.note(this.name, `requests a session of ${request.profile} from ${gateway.instance}`);
      const key = this.#hasKey ? this.#key : undefined;
      const result = await answered(
        clock,
        startSession(gateway, request, key, () => this.sessionId),
      );
      if ("value" in result) {
        const { sessionId, status } = result.value.answer;
        trace.note(this.name, `gets the answer: ${status}`);
        this.accepted.push({ key: this.#key, sessionId, requestHash: fingerprint(requestBody) });
        return;
      }
      trace.note(this.name, `is refused: ${messageOf(result.error)}`);
      if (isError(result.error, "idempotency_conflict")) return;
      if (this.#world.isCalm || !this.#hasKey) return;
      await sleep(clock, 200 + this.#random() * 1500);
    }
  }

  async #awaitReady(): Promise<boolean> {
    const { clock } = this.#world;
    for (let turn = 0; turn < 200; turn++) {
      const state = pickGateway(this.#world, this.#random)?.sessions.get(DEFAULT_TENANT, this.sessionId)
        ?.record.state;
      if (state === "ready") return true;
      if (state === "ended") return false;
      await sleep(clock, 200);
    }
    return false;
  }

  /** Joins before the agent is ready, which a token from an immediate answer allows, and may leave before it is. */
  async #joinEarly(): Promise<void> {
    const { clock } = this.#world;
    for (let turn = 0; turn < 20 && this.#seat === undefined; turn++) {
      this.#join(["dispatched", "joined", "ready"]);
      await sleep(clock, 50 + this.#habits() * 200);
    }
    await sleep(clock, this.#habits() * 3000);
    if (this.#habits() < 0.5) this.#hangUp();
    if (this.#habits() < 0.3) await this.end(1);
  }

  /** Joins the session's current room, and rejoins after a restart of the server. */
  #join(when: readonly SessionState[] = ["ready"]): void {
    const record = pickGateway(this.#world, this.#random)?.sessions.get(
      DEFAULT_TENANT,
      this.sessionId,
    )?.record;
    if (record === undefined || !when.includes(record.state) || this.#seat !== undefined) return;
    const { clock, livekit } = this.#world;
    const token = JSON.stringify({ room: record.room, identity: this.name });
    this.#seat = livekit.enter(token, ({ identity }) => ({
      identity,
      isAgent: false,
      owner: this.name,
      onHumans: () => {},
      onOut: (reason) => {
        this.#seat = undefined;
        if (reason === "server_restarted") clock.after(500, () => this.#join());
      },
    }));
    if (this.#seat !== undefined) this.#leaveAfterEnd();
  }

  #hangUp(): void {
    if (this.#seat !== undefined) this.#world.livekit.leave(this.#seat.room, this.#seat.guest);
    this.#seat = undefined;
  }
}
