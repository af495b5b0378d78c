// Faults of the memory bus, their probabilities, and the one seeded generator that draws them.

/** Probabilities range from 0 to 1, each for one message, delivery or call. */
export interface Faults {
  /** The range of the time for each hop between a client and the server, in ms. */
  readonly hopMs: readonly [number, number];
  /** A hop that takes up to `slowMs` longer, so that later messages overtake it. */
  readonly slow: number;
  readonly slowMs: number;
  /** A transient message, a request or a reply is lost. */
  readonly drop: number;
  /** A message is delivered once more although it was acked. */
  readonly repeat: number;
  /** An ack is lost, so that the message is redelivered after the ack wait. */
  readonly loseAck: number;
  /** A write is never answered, and is done now, later or not at all. */
  readonly ambiguous: number;
  /** A successful write arrives once more, and its caller receives only the second answer. */
  readonly resend: number;
  /** A call to the store is refused at once and changes nothing. */
  readonly refuse: number;
  /** A watcher is notified up to `staleMs` late. */
  readonly stale: number;
  readonly staleMs: number;
  /** A watcher never gets a revision, because its key already has a newer one. */
  readonly skip: number;
  /** The range of the time that a write is in flight between replicas, in ms; unused with a single replica. */
  readonly inFlightMs: readonly [number, number];
  /** Streams and buckets refuse new messages and keys; updates still work. */
  readonly full: boolean;
  /** No leader: calls to the store are refused or never answered, and nothing is delivered or acked. */
  readonly leaderless: boolean;
  /** With `leaderless`: overflow streams have a leader nevertheless. */
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

/** The outcome of a call to the store. `unsent`, `unanswered` and `late` look the same to its caller. */
type Fate = "fine" | "refused" | "unsent" | "unanswered" | "late";

export interface Fates {
  readonly faults: () => Faults;
  /** Draws whether a fault strikes now. */
  strikes(fault: Chance): boolean;
  /** Counts a fault for the coverage of a simulation. */
  count(what: string): void;
  readonly counts: ReadonlyMap<string, number>;
  /** A number of ms between two bounds; equal bounds draw no number. */
  between(fromMs: number, toMs: number): number;
  pick<T>(items: readonly T[]): T;
  hopMs(): number;
  ofCall(isWrite: boolean): Fate;
  /** The outcome of a call that arrives while there is no leader. */
  ofLeaderless(): Fate;
}

/** @param random draws numbers from 0 to below 1; called only where a fault is possible */
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
