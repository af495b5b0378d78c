// Keeps what the host knows of each attempt that it serves in the store: now and then, and when it is over.
import { getOwn } from "../../../libs/bus/bus.ts";
import type { ServiceDeps } from "../../../libs/bus/service-deps.ts";
import { usageReports } from "../../../libs/contracts/buckets.ts";
import type { AgentUsage, UsageReport } from "../../../libs/contracts/calls/call.ts";
import { isError } from "../../../libs/contracts/errors.ts";
import { attemptRefOf } from "../../../libs/contracts/ids.ts";
import { isoNow, sleep } from "../../../libs/runtime/clock.ts";
import type { Assignment } from "../pool/slots.ts";

interface Deps extends ServiceDeps {
  readonly hostId: string;
}

interface Kept {
  readonly assignment: Assignment;
  readonly profile: string;
  measures: AgentUsage | undefined;
  revision: number | undefined;
  isDue: boolean;
  isWriting: boolean;
  isOver: boolean;
  cancel: () => void;
}

/** What a host that dies takes with it is so much at most. A shorter call costs one write, at its end. */
const STORE_MS = 30_000;
const AGAIN_MS = 500;
/** Longer than NATS needs to come back; without it, the call record knows less. */
const GIVE_UP_MS = 120_000;
const WHY_MAX = 240;

export class UsageReporter {
  readonly #deps: Deps;
  readonly #kept = new Map<Assignment, Kept>();
  readonly #finished = new WeakSet<Assignment>();
  readonly #underway = new Set<Promise<void>>();

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** The agent told what it has measured so far. */
  note(assignment: Assignment, profile: string, measures: AgentUsage): void {
    const kept = this.#keep(assignment, profile);
    if (kept === undefined) return;
    kept.measures = measures;
    if (kept.isDue) return;
    kept.isDue = true;
    kept.cancel = this.#deps.clock.after(STORE_MS, () => this.#write(kept));
  }

  /** Another host goes on with the session soon: what is known is stored now. */
  storeNow(assignment: Assignment): void {
    const kept = this.#kept.get(assignment);
    if (kept === undefined) return;
    kept.isDue = true;
    this.#write(kept);
  }

  /** Nothing more comes of this attempt. One that never got ready measured nothing that is worth a write. */
  finish(assignment: Assignment, profile: string): void {
    const kept = this.#keep(assignment, profile);
    this.#finished.add(assignment);
    if (kept === undefined) return;
    kept.isOver = true;
    kept.isDue = assignment.readyAtMs !== undefined;
    this.#write(kept);
  }

  /** Waits until all that is over is stored. */
  async flush(): Promise<void> {
    await Promise.all(this.#underway);
  }

  #keep(assignment: Assignment, profile: string): Kept | undefined {
    if (this.#finished.has(assignment)) return undefined;
    const present = this.#kept.get(assignment);
    if (present !== undefined) return present;
    const kept: Kept = {
      assignment,
      profile,
      measures: undefined,
      revision: undefined,
      isDue: false,
      isWriting: false,
      isOver: false,
      cancel: () => {},
    };
    this.#kept.set(assignment, kept);
    return kept;
  }

  #write(kept: Kept): void {
    kept.cancel();
    if (kept.isWriting) return;
    kept.isWriting = true;
    const work = this.#writeDue(kept).finally(() => {
      kept.isWriting = false;
      this.#underway.delete(work);
      if (kept.isDue && kept.isOver) this.#write(kept);
      else if (kept.isOver) this.#kept.delete(kept.assignment);
    });
    this.#underway.add(work);
  }

  async #writeDue(kept: Kept): Promise<void> {
    const { clock, log } = this.#deps;
    const since = clock.monotonic();
    while (kept.isDue) {
      kept.isDue = false;
      try {
        await this.#save(kept);
      } catch (error) {
        const { sessionId, attempt } = kept.assignment;
        if (isError(error, "payload_too_large") || clock.monotonic() - since > GIVE_UP_MS) {
          log.warn({ error, sessionId, attempt }, "what an agent measured could not be stored");
          return;
        }
        log.debug(
          { error, sessionId, attempt },
          "what an agent measured could not be stored; it is tried again",
        );
        kept.revision = undefined;
        kept.isDue = true;
        await sleep(clock, AGAIN_MS);
      }
    }
  }

  async #save(kept: Kept): Promise<void> {
    const { bus } = this.#deps;
    const report = this.#reportOf(kept);
    // Nobody else writes here, so what stands there otherwise is an earlier word of this host.
    kept.revision ??= (await getOwn(bus, usageReports, usageReports.keyOf(report))).revision;
    kept.revision = await bus.kv.update(usageReports, report, kept.revision);
    if (kept.revision === undefined) kept.isDue = true;
  }

  #reportOf({ assignment, profile, measures }: Kept): UsageReport {
    const { clock, hostId } = this.#deps;
    const { over, readyAtMs, joinMs, readyMs } = assignment;
    const servedMs = readyAtMs === undefined ? 0 : (over?.atMs ?? clock.monotonic()) - readyAtMs;
    return {
      v: 1,
      ...attemptRefOf(assignment),
      profile,
      host: hostId,
      warm: assignment.warmth,
      ...(joinMs === undefined ? {} : { joinMs }),
      ...(readyMs === undefined ? {} : { readyMs }),
      servedMs: Math.max(0, Math.round(servedMs)),
      ...(over === undefined ? {} : { ended: over.how, reason: over.reason.slice(0, WHY_MAX) }),
      ...(measures === undefined ? {} : { usage: measures }),
      at: isoNow(clock),
    };
  }
}
