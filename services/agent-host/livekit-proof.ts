// Proves that a host can use LiveKit before the host offers agents.
import { messageOf } from "../../libs/contracts/errors.ts";
import type { HostProfile } from "../../libs/contracts/fleet/host.ts";
import type { LiveKit } from "../../libs/livekit/rooms.ts";
import type { Clock } from "../../libs/runtime/clock.ts";
import type { Log } from "../../libs/runtime/log.ts";

interface Deps {
  readonly clock: Clock;
  readonly log: Log;
  /** Undefined if LiveKit is not configured. */
  readonly livekit: LiveKit | undefined;
}

const RETRY_MS = 2000;
/** No room has this name. A request about it needs the address and the key, and is cheap. */
const NO_ROOM = "greenroom-proof";

/**
 * A host without LiveKit, or with a wrong key, could serve no session, and each session given to it would lose an
 * attempt. It therefore offers nothing until LiveKit has answered once. A later outage of LiveKit concerns all hosts.
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

  /** Asks LiveKit until it has answered. @param onChange called when the host may offer more or less */
  start(onChange: () => void): () => void {
    if (!this.#isProven) void this.#ask(onChange);
    return () => {
      this.#isStopped = true;
      this.#cancelRetry();
    };
  }

  /** Asks LiveKit now. @returns why it can't be used, if so */
  async errorNow(): Promise<string | undefined> {
    const { livekit } = this.#deps;
    if (livekit === undefined) return this.#problem;
    return await livekit.rooms.participants(NO_ROOM).then(
      () => undefined,
      (error: unknown) => messageOf(error),
    );
  }

  async #ask(onChange: () => void): Promise<void> {
    const { clock, livekit, log } = this.#deps;
    if (livekit === undefined || this.#isStopped) return;
    const before = this.#problem;
    try {
      await livekit.rooms.participants(NO_ROOM);
      this.#isProven = true;
      this.#problem = undefined;
    } catch (error) {
      this.#problem = `this host can't use LiveKit at ${livekit.url}: ${messageOf(error)}`;
      if (before !== this.#problem)
        log.warn({ error, retrying: true }, "LiveKit does not answer; offering no agents");
      this.#cancelRetry = clock.after(RETRY_MS, () => void this.#ask(onChange));
    }
    if (this.#isProven || before !== this.#problem) onChange();
  }
}
