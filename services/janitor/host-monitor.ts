// Pings every host at an interval, each on its own so that none delays another, and reports silent ones.
import type { Bus } from "../../libs/bus/bus.ts";
import { isError } from "../../libs/contracts/errors.ts";
import { isProviderHost } from "../../libs/contracts/providers/provider.ts";
import type { SessionRecord } from "../../libs/contracts/sessions/session.ts";
import { pingCommand } from "../../libs/contracts/streams.ts";
import type { Clock } from "../../libs/runtime/clock.ts";

/** One incarnation of a host, from its registration to its end. */
export interface HostLife {
  readonly hostId: string;
  readonly epoch: number;
  /** Whether a session that has not ended names it. */
  readonly isBusy?: boolean;
}

/** Why a host may be lost, and how certain that is. */
export interface HostFailure {
  /**
   * `gone`: no process subscribes to its subject, so it is dead or cut off. `silent`: it subscribes and does not answer.
   * `restarted`: a later incarnation answers.
   */
  readonly kind: "gone" | "silent" | "restarted";
  /**
   * `suspected`: one ping was not answered. `likely`: longer than the reconnect of a client, and enough together with
   * agents that don't answer. `confirmed`: enough by itself.
   */
  readonly degree: "suspected" | "likely" | "confirmed";
  readonly reason: string;
}

/** The interval of pings to a live host. A fleet of any size gets at most 500 pings per second. */
const PING_MS = 100;
const PING_MS_PER_HOST = 2;
/**
 * The interval of pings to a live host that no session names. Its death interrupts nobody: a dispatcher
 * that assigns a session to it gets no answer and chooses another host.
 */
const IDLE_PING_MS = 500;
/** The pause before a second ping. A dead host never answers the first one, whose time-out would take longer. */
const SECOND_PING_MS = 150;
/** The interval of pings to a host that may be gone. The client of a live one reconnects soon after 250 ms. */
const CONFIRM_MS = 100;
const GONE_LIKELY_MS = 200;
const GONE_CONFIRMED_MS = 2000;
/** Each silence lasts as long as a ping's time-out, so three of them take longer than this. */
const LIKELY_SILENCES = 3;
const HANG_LIKELY_MS = 1400;
const HANG_CONFIRMED_MS = 3000;
/** A janitor that notices a ping's time-out this much too late may have been paused itself, and starts again. */
const OWN_LAG_MS = 500;
/** The interval of pings to a lost host, in case it was only cut off. */
const LOST_PING_MS = 500;

/**
 * The incarnations to ping: registered ones, and those that sessions still name. A restarted host has overwritten its
 * earlier registration, and the sessions of that incarnation would otherwise be forgotten. Providers are excluded: the
 * providers service observes its agents, and its instances each other.
 */
export function livesOf(hosts: readonly HostLife[], records: readonly SessionRecord[]): HostLife[] {
  const lives = new Map<string, HostLife>(
    hosts.map(({ hostId, epoch }) => [nameOf({ hostId, epoch }), { hostId, epoch }]),
  );
  for (const { state, host: hostId, hostEpoch: epoch } of records) {
    if (state === "ended" || hostId === undefined || epoch === undefined || isProviderHost(hostId)) continue;
    lives.set(nameOf({ hostId, epoch }), { hostId, epoch, isBusy: true });
  }
  return [...lives.values()];
}

export const nameOf = ({ hostId, epoch }: HostLife): string => `${hostId}/${epoch}`;

export interface HostMonitorDeps {
  readonly bus: Bus;
  readonly clock: Clock;
  /** Called after each unanswered ping, and with undefined once the host answers again. */
  readonly onFailure: (life: HostLife, failure: HostFailure | undefined) => void;
}

type Answer = "alive" | "restarted" | "gone" | "silent" | "unknown";

interface Followed {
  life: HostLife;
  /** The last failed pings in a row. */
  misses: ("gone" | "silent")[];
  missingSinceMs: number;
  /** Whether the next ping is due after a pause. */
  isWaiting: boolean;
  cancel: () => void;
}

export class HostMonitor {
  readonly #deps: HostMonitorDeps;
  readonly #followed = new Map<string, Followed>();

  constructor(deps: HostMonitorDeps) {
    this.#deps = deps;
  }

  /** Pings exactly these from now on. */
  follow(lives: readonly HostLife[]): void {
    const names = new Set(lives.map(nameOf));
    for (const name of [...this.#followed.keys()]) if (!names.has(name)) this.#forget(name);
    for (const life of lives) {
      const known = this.#followed.get(nameOf(life));
      if (known !== undefined) {
        this.#update(known, life);
        continue;
      }
      const followed: Followed = {
        life,
        misses: [],
        missingSinceMs: 0,
        isWaiting: false,
        cancel: () => {},
      };
      this.#followed.set(nameOf(life), followed);
      void this.#ping(followed);
    }
  }

  stop(): void {
    for (const name of [...this.#followed.keys()]) this.#forget(name);
  }

  /** A host that gets its first session is pinged at the interval of busy hosts at once. */
  #update(followed: Followed, life: HostLife): void {
    const wasIdle = followed.life.isBusy !== true;
    followed.life = life;
    if (wasIdle && life.isBusy === true && followed.isWaiting) this.#pingAgain(followed, 0);
  }

  #forget(name: string): void {
    this.#followed.get(name)?.cancel();
    this.#followed.delete(name);
  }

  async #ping(followed: Followed): Promise<void> {
    const { bus, clock, onFailure } = this.#deps;
    const pingedAtMs = clock.monotonic();
    const answer = await this.#statusOf(followed.life);
    if (this.#followed.get(nameOf(followed.life)) !== followed) return;
    // A janitor without a connection proves nothing about hosts. The same holds after it was paused or got no CPU: the
    // failures that it has recorded may be over.
    const wasAway = clock.monotonic() - pingedAtMs > pingCommand.timeoutMs + OWN_LAG_MS;
    if (answer === "alive" || wasAway || !bus.isConnected()) {
      if (followed.misses.length > 0) onFailure(followed.life, undefined);
      followed.misses = [];
      const pauseMs = followed.life.isBusy === true ? PING_MS : IDLE_PING_MS;
      this.#pingAgain(followed, Math.max(pauseMs, PING_MS_PER_HOST * this.#followed.size));
      return;
    }
    if (answer === "unknown") return this.#pingAgain(followed, LOST_PING_MS);
    if (answer !== "restarted") {
      if (followed.misses.length === 0) followed.missingSinceMs = pingedAtMs;
      followed.misses = [...followed.misses.slice(-9), answer];
    }
    const failure =
      answer === "restarted"
        ? restarted(followed.life)
        : assess(followed.life, followed.misses, clock.monotonic() - followed.missingSinceMs);
    onFailure(followed.life, failure);
    this.#pingAgain(followed, failure.degree === "confirmed" ? LOST_PING_MS : CONFIRM_MS);
  }

  #pingAgain(followed: Followed, afterMs: number): void {
    followed.cancel();
    followed.isWaiting = true;
    followed.cancel = this.#deps.clock.after(afterMs, () => {
      followed.isWaiting = false;
      void this.#ping(followed);
    });
  }

  /** Pings twice. The second ping only counts when it proves that the host is alive or gone. */
  async #statusOf(life: HostLife): Promise<Answer> {
    const first = this.#answerOf(life);
    let cancel = () => {};
    const second = new Promise<Answer>((resolve) => {
      cancel = this.#deps.clock.after(SECOND_PING_MS, async () => {
        const answer = await this.#answerOf(life);
        if (answer !== "silent" && answer !== "unknown") resolve(answer);
      });
    });
    const answer = await Promise.race([first, second]);
    cancel();
    return answer;
  }

  /** Pings once. */
  async #answerOf({ hostId: id, epoch }: HostLife): Promise<Answer> {
    try {
      const pong = await this.#deps.bus.core.request(pingCommand, id, {});
      return pong.epoch > epoch && epoch > 0 ? "restarted" : "alive";
    } catch (error) {
      if (isError(error, "no_responders")) return "gone";
      return isError(error, "timeout") ? "silent" : "unknown";
    }
  }
}

const restarted = ({ hostId: id }: HostLife): HostFailure => ({
  kind: "restarted",
  degree: "confirmed",
  reason: `host ${id} was restarted`,
});

/**
 * The failure that a row of failed pings proves.
 *
 * @param misses the results since the last answer, the newest last
 * @param forMs the time since the first of them was sent
 */
function assess(
  { hostId: id }: HostLife,
  misses: readonly ("gone" | "silent")[],
  forMs: number,
): HostFailure {
  const isGone = misses.at(-1) === "gone" && misses.at(-2) !== "silent";
  if (isGone) {
    const isLikely = misses.length >= 2 && forMs >= GONE_LIKELY_MS;
    return {
      kind: "gone",
      degree: isLikely && forMs >= GONE_CONFIRMED_MS ? "confirmed" : isLikely ? "likely" : "suspected",
      reason: `host ${id} is gone: no process responds`,
    };
  }
  const isLikely = misses.length >= LIKELY_SILENCES && forMs >= HANG_LIKELY_MS;
  return {
    kind: "silent",
    degree: isLikely && forMs >= HANG_CONFIRMED_MS ? "confirmed" : isLikely ? "likely" : "suspected",
    reason: `host ${id} hangs: no answer for ${(forMs / 1000).toFixed(1)} s`,
  };
}
