// Handles the sessions of silent hosts: pings their agents too, before a session is reported as lost.
import type { Entry } from "../../libs/bus/bus.ts";
import type { ServiceDeps } from "../../libs/bus/service-deps.ts";
import { hosts as hostsBucket } from "../../libs/contracts/buckets.ts";
import { messageOf } from "../../libs/contracts/errors.ts";
import type { HostRecord } from "../../libs/contracts/fleet/host.ts";
import { attemptKey } from "../../libs/contracts/ids.ts";
import type { SessionRecord } from "../../libs/contracts/sessions/session.ts";
import type { LiveKit } from "../../libs/livekit/rooms.ts";
import { type HostFailure, type HostLife, HostMonitor, livesOf, nameOf } from "./host-monitor.ts";

export interface LostHostsDeps extends ServiceDeps {
  readonly livekit: LiveKit | undefined;
  /** How long an agent may take to answer. */
  readonly agentPingTimeoutMs: number;
  readonly hosts: () => readonly HostRecord[];
  readonly records: () => readonly SessionRecord[];
  readonly publishLost: (record: SessionRecord, reason: string) => Promise<void>;
}

/** A hanging host is detected slowly anyway, so its agents get more time to answer. */
const SLOW_PING_TIMEOUT_MS = 1000;
/** The interval of pings to an agent that answers while its host is silent. */
const PROBE_AGAIN_MS = 1000;
/** A loss that changed nothing is published again after this time. */
const PUBLISH_AGAIN_MS = 2000;

interface Probe {
  readonly startedAtMs: number;
  /** Undefined while it is in progress, and when LiveKit could not be asked. */
  answers: boolean | undefined;
  isOver: boolean;
}

/** A host that does not answer. */
interface HostIncident {
  readonly life: HostLife;
  failure: HostFailure;
  /** By session and attempt. */
  readonly probes: Map<string, Probe>;
  readonly publishedAtMs: Map<string, number>;
  isClosing: boolean;
}

export class LostHostHandler {
  readonly #deps: LostHostsDeps;
  readonly #monitor: HostMonitor;
  readonly #incidents = new Map<string, HostIncident>();

  constructor(deps: LostHostsDeps) {
    this.#deps = deps;
    this.#monitor = new HostMonitor({
      ...deps,
      onFailure: (life, failure) => this.#onFailure(life, failure),
    });
  }

  /** Updates the hosts to monitor. */
  follow(): void {
    const lives = livesOf(this.#deps.hosts(), this.#deps.records());
    this.#monitor.follow(lives);
    const names = new Set(lives.map(nameOf));
    for (const name of this.#incidents.keys()) if (!names.has(name)) this.#incidents.delete(name);
  }

  stop(): void {
    this.#monitor.stop();
    this.#incidents.clear();
  }

  #onFailure(life: HostLife, failure: HostFailure | undefined): void {
    if (failure === undefined) {
      this.#incidents.delete(nameOf(life));
      return;
    }
    const present = this.#incidents.get(nameOf(life));
    const found = present ?? { life, failure, probes: new Map(), publishedAtMs: new Map(), isClosing: false };
    found.failure = failure;
    this.#incidents.set(nameOf(life), found);
    this.#judge(found);
  }

  /** Reports lost sessions. Called at each new result of the host or one of its agents. */
  #judge(found: HostIncident): void {
    const theirs = this.#deps.records().filter((record) => isServedBy(record, found.life));
    let left = 0;
    for (const record of theirs) {
      if (this.#isLost(found, record)) this.#giveUp(found, record);
      else left += 1;
    }
    if (left === 0 && found.failure.degree === "confirmed") void this.#close(found, theirs.length);
  }

  /** A session outlives its host's connection to NATS: an agent that answers in its room is not lost. */
  #isLost(found: HostIncident, record: SessionRecord): boolean {
    const { degree } = found.failure;
    if (!this.#canBeAsked(record)) return degree === "confirmed";
    const probe = this.#probe(found, record);
    return degree !== "suspected" && probe.answers === false;
  }

  /** An agent that has not joined can't answer in the room, and each process has its own simulated rooms. */
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
    const withinMs = found.failure.kind === "silent" ? SLOW_PING_TIMEOUT_MS : this.#deps.agentPingTimeoutMs;
    const asked = livekit?.rooms.answers(record.room, record.identity ?? "", withinMs);
    asked
      ?.then((answers) => {
        probe.answers = answers;
      })
      // Without LiveKit, nothing destructive is decided.
      .catch((error: unknown) =>
        log.debug({ sessionId: record.sessionId, reason: messageOf(error) }, "failed to ping an agent"),
      )
      .finally(() => {
        probe.isOver = true;
        if (this.#incidents.get(nameOf(found.life)) === found) this.#judge(found);
      });
    return probe;
  }

  #giveUp(found: HostIncident, record: SessionRecord): void {
    const { clock, log, publishLost } = this.#deps;
    const key = jobKey(record);
    const now = clock.monotonic();
    const publishedAtMs = found.publishedAtMs.get(key);
    if (publishedAtMs !== undefined && now - publishedAtMs < PUBLISH_AGAIN_MS) return;
    found.publishedAtMs.set(key, now);
    publishLost(record, found.failure.reason).catch((error: unknown) => {
      found.publishedAtMs.delete(key);
      const fields = { sessionId: record.sessionId, reason: messageOf(error), retrying: true };
      log.warn(fields, "failed to publish the loss of an agent");
    });
  }

  /** Removes the registration of a lost host. A host that is alive after all registers again. */
  async #close(found: HostIncident, sessions: number): Promise<void> {
    if (found.isClosing) return;
    found.isClosing = true;
    const { bus, log } = this.#deps;
    const { life, failure } = found;
    try {
      const stored = await bus.kv.get(hostsBucket, life.hostId);
      if (stored === undefined || !isOfLife(stored, life)) return;
      if (!(await bus.kv.delete(hostsBucket, life.hostId, stored.revision))) return;
      log.warn(
        { host: life.hostId, sessions, reason: failure.reason },
        "removed the registration of a lost host",
      );
    } catch (error) {
      const fields = { host: life.hostId, reason: messageOf(error), retrying: true };
      log.warn(fields, "failed to remove the registration of a lost host");
    } finally {
      found.isClosing = false;
    }
  }
}

const jobKey = (record: SessionRecord): string => `${attemptKey(record)}.${record.room}`;

/** The registration has no epoch until the host first saves its record; its revision is the epoch. */
const isOfLife = ({ value, revision }: Entry<HostRecord>, { epoch }: HostLife): boolean =>
  value.epoch === epoch || revision === epoch;

const isServedBy = (record: SessionRecord, host: HostLife): boolean =>
  record.host === host.hostId &&
  record.hostEpoch === host.epoch &&
  (record.state === "dispatched" || record.state === "joined" || record.state === "ready");
