// What goes wrong in the memory bus, how often, and how it is thrown for: all of it by one seeded generator.

/** Probabilities are from 0 to 1, each for one message, delivery or call. */
export interface Faults {
  /** How long each hop between a client and the server takes, from and to, in ms. */
  readonly hopMs: readonly [number, number];
  /** A hop that takes up to `slowMs` longer: what was sent later overtakes it. */
  readonly slow: number;
  readonly slowMs: number;
  /** An announcement, a question or an answer that is lost. */
  readonly drop: number;
  /** A message that is delivered once more although it was acked. */
  readonly repeat: number;
  /** An ack that is lost: the message comes again after the ack wait. */
  readonly loseAck: number;
  /** A write whose answer never comes: it was done, wasn't, or will be done later. */
  readonly ambiguous: number;
  /** A write that arrives once more after it was done, and whose caller hears the second answer only. */
  readonly resend: number;
  /** A call to the store that is refused at once and changes nothing. */
  readonly refuse: number;
  /** A watcher that is told up to `staleMs` late. */
  readonly stale: number;
  readonly staleMs: number;
  /** A revision that a watcher is never told, because a newer one of its key is there already. */
  readonly skip: number;
  /** How long a write is in flight between replicas, from and to, in ms; there is none on a single one. */
  readonly inFlightMs: readonly [number, number];
  /** Streams and buckets that refuse what is new; updates of what is there still work. */
  readonly full: boolean;
  /** No leader: calls to the store are refused or never answered, and nothing is handed out or acked. */
  readonly leaderless: boolean;
  /** With `leaderless`: streams that are another's relief have a leader all the same. */
  readonly overflowLeads: boolean;
}

export const noFaults: Faults = {
  hopMs: [0, 0],
  slow: 0,
  slowMs: 0,
  drop: 0,
  repeat: 0,
  loseAck: 0,
  ambiguous: 0,
  resend: 0,
  refuse: 0,
  stale: 0,
  staleMs: 0,
  skip: 0,
  inFlightMs: [0, 0],
  full: false,
  leaderless: false,
  overflowLeads: false,
};

/** The faults that strike by chance. */
type Chance = "slow" | "drop" | "repeat" | "loseAck" | "ambiguous" | "resend" | "refuse" | "stale" | "skip";

/** What becomes of a call to the store. `unsent`, `unanswered` and `late` look the same to its caller. */
type Fate = "fine" | "refused" | "unsent" | "unanswered" | "late";

export interface Fates {
  readonly faults: () => Faults;
  /** Whether a fault strikes now. */
  strikes(fault: Chance): boolean;
  /** Notes that something went wrong, for those who count what a simulation has played. */
  count(what: string): void;
  readonly counts: ReadonlyMap<string, number>;
  /** A number of ms between two bounds; the generator is not asked when they are equal. */
  between(fromMs: number, toMs: number): number;
  pick<T>(items: readonly T[]): T;
  hopMs(): number;
  ofCall(isWrite: boolean): Fate;
  /** The same of a call that arrives while there is no leader. */
  ofLeaderless(): Fate;
}

/** @param random gives numbers from 0 to below 1; asked only where something may go wrong. */
export function createFates(random: () => number, faults: () => Faults): Fates {
  const counts = new Map<string, number>();
  const count = (what: string) => void counts.set(what, (counts.get(what) ?? 0) + 1);
  const counted = (fate: Fate): Fate => {
    count(fate);
    return fate;
  };
  const strikes = (fault: Chance): boolean => {
    const probability = faults()[fault];
    if (probability <= 0 || random() >= probability) return false;
    count(fault);
    return true;
  };
  const between = (from: number, to: number) => (to > from ? from + random() * (to - from) : from);
  const pick = <T>(items: readonly T[]): T =>
    (items.length === 1 ? items[0] : items[Math.floor(random() * items.length)]) as T;
  return {
    faults,
    strikes,
    count,
    counts,
    between,
    pick,
    hopMs() {
      const { hopMs, slowMs } = faults();
      return between(hopMs[0], hopMs[1]) + (strikes("slow") ? between(0, slowMs) : 0);
    },
    ofCall(isWrite) {
      if (strikes("refuse")) return counted("refused");
      if (isWrite && strikes("ambiguous")) return counted(pick(["unsent", "unanswered", "late"]));
      return "fine";
    },
    ofLeaderless: () => counted(pick(["refused", "unsent"])),
  };
}
