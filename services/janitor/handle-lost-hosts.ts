// What becomes of the sessions of a host that is silent: its agents are asked too, before one is given up.
import type { Entry } from "../../libs/bus/bus.ts";
import type { ServiceDeps } from "../../libs/bus/service-deps.ts";
import { hosts as hostsBucket } from "../../libs/contracts/buckets.ts";
import { messageOf } from "../../libs/contracts/errors.ts";
import type { HostRecord } from "../../libs/contracts/fleet/host.ts";
import { attemptKey } from "../../libs/contracts/ids.ts";
import type { SessionRecord } from "../../libs/contracts/sessions/session.ts";
import type { LiveKit } from "../../libs/livekit/rooms.ts";
import { type HostLife, HostMonitor, livesOf, nameOf, type Suspicion } from "./host-monitor.ts";

export interface LostHostsDeps extends ServiceDeps {
  readonly livekit: LiveKit | undefined;
  /** How long an agent may take to answer. */
  readonly aliveMs: number;
  readonly hosts: () => readonly HostRecord[];
  readonly records: () => readonly SessionRecord[];
  readonly publishLost: (record: SessionRecord, reason: string) => Promise<void>;
}

/** A host that hangs is found slowly anyway, so its agents are given more time. */
const SLOW_ALIVE_MS = 1000;
/** How often agents that answer are asked again while their host stays silent. */
const PROBE_AGAIN_MS = 1000;
/** What was said and led to nothing is said again after this. */
const SAY_AGAIN_MS = 2000;

interface Probe {
  readonly startedAtMs: number;
  /** Undefined while it is under way, and when LiveKit couldn't be asked. */
  answers: boolean | undefined;
  isOver: boolean;
}

/** One host that doesn't answer. */
interface HostIncident {
  readonly life: HostLife;
  suspicion: Suspicion;
  /** By session and attempt. */
  readonly probes: Map<string, Probe>;
  readonly saidAtMs: Map<string, number>;
  isClosing: boolean;
}

export class LostHostHandler {
  readonly #deps: LostHostsDeps;
  readonly #pulse: HostMonitor;
  readonly #cases = new Map<string, HostIncident>();

  constructor(deps: LostHostsDeps) {
    this.#deps = deps;
    this.#pulse = new HostMonitor({
      ...deps,
      onSuspicion: (life, suspicion) => this.#onSuspicion(life, suspicion),
    });
  }

  /** Looks which hosts there are now; each is asked by itself from then on. */
  follow(): void {
    const lives = livesOf(this.#deps.hosts(), this.#deps.records());
    this.#pulse.follow(lives);
    const names = new Set(lives.map(nameOf));
    for (const name of this.#cases.keys()) if (!names.has(name)) this.#cases.delete(name);
  }

  stop(): void {
    this.#pulse.stop();
    this.#cases.clear();
  }

  #onSuspicion(life: HostLife, suspicion: Suspicion | undefined): void {
    if (suspicion === undefined) {
      this.#cases.delete(nameOf(life));
      return;
    }
    const present = this.#cases.get(nameOf(life));
    const found = present ?? { life, suspicion, probes: new Map(), saidAtMs: new Map(), isClosing: false };
    found.suspicion = suspicion;
    this.#cases.set(nameOf(life), found);
    this.#judge(found);
  }

  /** Gives up what is surely lost; called at each new finding, about the host or about one of its agents. */
  #judge(found: HostIncident): void {
    const theirs = this.#deps.records().filter((record) => isServedBy(record, found.life));
    let left = 0;
    for (const record of theirs) {
      if (this.#isLost(found, record)) this.#giveUp(found, record);
      else left += 1;
    }
    if (left === 0 && found.suspicion.degree === "certain") void this.#close(found, theirs.length);
  }

  /** A call outlives its host's connection to NATS: an agent that answers in its room is left alone. */
  #isLost(found: HostIncident, record: SessionRecord): boolean {
    const { degree } = found.suspicion;
    if (!this.#canBeAsked(record)) return degree === "certain";
    const probe = this.#probe(found, record);
    return degree !== "new" && probe.answers === false;
  }

  /** One that is still on its way says nothing in its room, and simulated rooms are each process's own. */
  #canBeAsked(record: SessionRecord): boolean {
    const { livekit } = this.#deps;
    if (livekit === undefined || livekit.isSimulated || record.identity === undefined) return false;
    return record.state === "ready" || record.state === "joined";
  }

  #probe(found: HostIncident, record: SessionRecord): Probe {
    const { clock, livekit, log } = this.#deps;
    const key = jobKey(record);
    const before = found.probes.get(key);
    const now = clock.monotonic();
    if (before !== undefined && (!before.isOver || before.answers === false)) return before;
    if (before !== undefined && now - before.startedAtMs < PROBE_AGAIN_MS) return before;
    const probe: Probe = { startedAtMs: now, answers: undefined, isOver: false };
    found.probes.set(key, probe);
    const withinMs = found.suspicion.kind === "silent" ? SLOW_ALIVE_MS : this.#deps.aliveMs;
    const asked = livekit?.rooms.answers(record.room, record.identity ?? "", withinMs);
    asked
      ?.then((answers) => {
        probe.answers = answers;
      })
      // While LiveKit can't be asked nothing destructive is decided.
      .catch((error: unknown) =>
        log.debug({ sessionId: record.sessionId, reason: messageOf(error) }, "not asked"),
      )
      .finally(() => {
        probe.isOver = true;
        if (this.#cases.get(nameOf(found.life)) === found) this.#judge(found);
      });
    return probe;
  }

  #giveUp(found: HostIncident, record: SessionRecord): void {
    const { clock, log, publishLost: sayLost } = this.#deps;
    const key = jobKey(record);
    const now = clock.monotonic();
    const saidAtMs = found.saidAtMs.get(key);
    if (saidAtMs !== undefined && now - saidAtMs < SAY_AGAIN_MS) return;
    found.saidAtMs.set(key, now);
    sayLost(record, found.suspicion.reason).catch((error: unknown) => {
      found.saidAtMs.delete(key);
      log.warn(
        { sessionId: record.sessionId, reason: messageOf(error) },
        "a loss could not be said; it is said again",
      );
    });
  }

  /** A registration without anybody behind it is taken away; a host that lives after all registers again. */
  async #close(found: HostIncident, sessions: number): Promise<void> {
    if (found.isClosing) return;
    found.isClosing = true;
    const { bus, log } = this.#deps;
    const { life, suspicion } = found;
    try {
      const stored = await bus.kv.get(hostsBucket, life.hostId);
      if (stored === undefined || !isOfLife(stored, life)) return;
      if (!(await bus.kv.delete(hostsBucket, life.hostId, stored.revision))) return;
      log.warn({ host: life.hostId, sessions, reason: suspicion.reason }, "a host is lost");
    } catch (error) {
      log.warn(
        { host: life.hostId, reason: messageOf(error) },
        "a lost host is still registered; tried again",
      );
    } finally {
      found.isClosing = false;
    }
  }
}

const jobKey = (record: SessionRecord): string => `${attemptKey(record)}.${record.room}`;

/** Until a host first saves its record, its registration has no epoch but stands at that revision. */
const isOfLife = ({ value, revision }: Entry<HostRecord>, { epoch }: HostLife): boolean =>
  value.epoch === epoch || revision === epoch;

const isServedBy = (record: SessionRecord, host: HostLife): boolean =>
  record.host === host.hostId &&
  record.hostEpoch === host.epoch &&
  (record.state === "dispatched" || record.state === "joined" || record.state === "ready");
