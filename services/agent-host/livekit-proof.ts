// Proves that a host can use LiveKit, by joining a room once, before the host offers agents.
import { randomBytes } from "node:crypto";
import { messageOf } from "../../libs/contracts/errors.ts";
import type { HostProfile } from "../../libs/contracts/fleet/host.ts";
import { STANDBY_PREFIX } from "../../libs/contracts/ids.ts";
import type { joinOnce } from "../../libs/livekit/join-once.ts";
import type { LiveKit, RoomOptions } from "../../libs/livekit/rooms.ts";
import type { Clock } from "../../libs/runtime/clock.ts";
import type { Log } from "../../libs/runtime/log.ts";

interface Deps {
  readonly clock: Clock;
  readonly log: Log;
  /** Undefined if LiveKit is not configured. */
  readonly livekit: LiveKit | undefined;
  readonly join: (...of: Parameters<typeof joinOnce>) => Promise<unknown>;
}

const RETRY_MS = 2000;
/** For one try. The doctor waits little longer for a host's answer. */
const LIMIT_MS = 5000;
const TOKEN_TTL_S = 60;
/** LiveKit itself closes the room soon if the host dies before it deletes it. */
const ROOM: RoomOptions = { emptyTimeoutS: 30, departureTimeoutS: 5 };
/** With this prefix, no client can ask for the room, no session starts in it, and the janitor removes what is left. */
const newRoom = (): string => `${STANDBY_PREFIX}proof-${randomBytes(8).toString("hex")}`;

/**
 * A host without LiveKit, with a wrong key or without WebSockets could serve no session. Each session given to it would
 * lose an attempt. It therefore offers nothing until it has joined a room once. A later outage of LiveKit concerns all
 * hosts.
 */
export class LiveKitProof {
  readonly #deps: Deps;
  #isProven: boolean;
  #problem: string | undefined;
  #cancelRetry: () => void = () => {};
  #isStopped = false;

  constructor(deps: Deps) {
    this.#deps = deps;
    this.#isProven = deps.livekit?.isSimulated === true;
    if (deps.livekit === undefined)
      this.#problem =
        "this host has no LiveKit: set LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET, and restart it";
  }

  /** Why the host takes no session; undefined once it can. */
  get refusal(): string | undefined {
    return this.#isProven ? undefined : (this.#problem ?? "the host has not reached LiveKit yet");
  }

  /** A profile as the host offers it: without agents until the host can use them. */
  offered(profile: HostProfile): HostProfile {
    if (this.#isProven) return profile;
    const nothing = { ...profile, warm: 0, hot: 0 };
    if (this.#problem === undefined) return { ...nothing, status: "stopped" };
    return { ...nothing, status: "failed", error: this.#problem };
  }

  /** Tries until a try succeeds. @param onChange called when the host may offer more or less */
  start(onChange: () => void): () => void {
    if (!this.#isProven) void this.#ask(onChange);
    return () => {
      this.#isStopped = true;
      this.#cancelRetry();
    };
  }

  /** Tries now. @returns why LiveKit can't be used, if so */
  async errorNow(): Promise<string | undefined> {
    const { livekit } = this.#deps;
    if (livekit === undefined) return this.#problem;
    return await this.#joinRoom(livekit).then(
      () => undefined,
      (error: unknown) => messageOf(error),
    );
  }

  async #ask(onChange: () => void): Promise<void> {
    const { clock, livekit, log } = this.#deps;
    if (livekit === undefined || this.#isStopped) return;
    const before = this.#problem;
    try {
      await this.#joinRoom(livekit);
      this.#isProven = true;
      this.#problem = undefined;
    } catch (error) {
      this.#problem = `this host can't use LiveKit at ${livekit.url}: ${messageOf(error)}`;
      if (before !== this.#problem)
        log.warn({ error, retrying: true }, "failed to join a room; offering no agents");
      if (!this.#isStopped) this.#cancelRetry = clock.after(RETRY_MS, () => void this.#ask(onChange));
    }
    if (!this.#isStopped && (this.#isProven || before !== this.#problem)) onChange();
  }

  /** @throws Error with the same message for the same cause, because a host publishes each new one */
  async #joinRoom({ rooms, tokens, url }: LiveKit): Promise<void> {
    const { join, log } = this.#deps;
    const signal = AbortSignal.timeout(LIMIT_MS);
    const room = newRoom();
    await rooms.create(room, ROOM).catch((error: unknown) => {
      throw new Error(messageOf((error instanceof Error && error.cause) || error), { cause: error });
    });
    try {
      await join(url, await tokens.forAgent({ room, identity: "proof", ttlS: TOKEN_TTL_S }), signal);
    } catch (error) {
      throw new Error(
        `its API accepts the key, but ${messageOf(error)}. Make proxies and firewalls let WebSockets through to LiveKit`,
        { cause: error },
      );
    } finally {
      void rooms
        .delete(room)
        .catch((error: unknown) => log.debug({ error, room }, "failed to delete the room of the proof"));
    }
  }
}
