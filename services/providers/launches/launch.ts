// Runs one launch from its intent to its end: asks the provider, observes the launch, publishes events.
import type { Lease, LeaseRules } from "../../../libs/bus/lease.ts";
import type { ServiceDeps } from "../../../libs/bus/service-deps.ts";
import { launches, sessions } from "../../../libs/contracts/buckets.ts";
import { GreenroomError, messageOf } from "../../../libs/contracts/errors.ts";
import type { RoomEvent } from "../../../libs/contracts/fleet/pool.ts";
import { attemptRefOf, sessionKey } from "../../../libs/contracts/ids.ts";
import {
  type CallProgress,
  isExternal,
  type LaunchRecord,
  providerHostOf,
} from "../../../libs/contracts/providers/provider.ts";
import type { SessionEvent, SessionRecord } from "../../../libs/contracts/sessions/session.ts";
import { sessionEvents } from "../../../libs/contracts/streams.ts";
import { isTelephone } from "../../../libs/domain/task/outcome.ts";
import type { SessionView } from "../../../libs/fleet/session-view.ts";
import { metadataOf } from "../../../libs/fleet/stored-texts.ts";
import { isoNow } from "../../../libs/runtime/clock.ts";
import { redactTokens } from "../../../libs/runtime/redact-tokens.ts";
import type { LaunchHandle, LaunchOrder, ProviderDriver } from "../drivers/driver.ts";
import { callAtItsEnd, callEventsFor, couldNotCall, nextCallLookInMs } from "./call-events.ts";
import {
  eventsFor,
  firstMemory,
  type Limits,
  type Memory,
  memoryAfterEvent,
  nextLookInMs,
} from "./events-for.ts";

export interface LaunchDeps extends ServiceDeps {
  readonly sessions: SessionView;
  readonly instance: string;
  readonly providers: ReadonlyMap<string, ProviderDriver>;
  readonly limits: Limits & {
    /** How often a launch that is ready is observed, in ms. */
    readonly observeMs: number;
  };
}

/** An event that changed nothing is published again after this time. */
const PUBLISH_AGAIN_MS = 2000;
const READ_AGAIN_MS = 100;
const COUNT_MS = 1000;
/** No agent is late before. */
const LATE_MS = 500;
const REASON_MAX = 480;
/** Well below the time without a write after which other instances take an instance for dead. */
const SURELY_HELD_MS = 2000;

let writes = 0;

/** Marks a record for a write by this instance. */
export const stamped = (
  { clock, instance }: Pick<LaunchDeps, "clock" | "instance">,
  launch: Omit<LaunchRecord, "at" | "writeId">,
): LaunchRecord => ({ ...launch, at: isoNow(clock), writeId: `${instance}:${++writes}` });

export const leaseRules = (deps: LaunchDeps): LeaseRules<LaunchRecord> => ({
  ...{ bus: deps.bus, clock: deps.clock, bucket: launches },
  stamp: (launch) => stamped(deps, launch),
  isOwn: (stored, { takeovers }) => stored.by === deps.instance && stored.takeovers === takeovers,
});

export class Launch {
  readonly lease: Lease<LaunchRecord>;
  readonly #deps: LaunchDeps;
  readonly #publishedAtMs = new Map<string, number>();
  #memory: Memory;
  #nextLookAtMs: number;
  #isHinted = false;
  /** The launch failed: published until the session has moved on. */
  #failure: { readonly reason: string; readonly retryable: boolean } | undefined;
  /** This instance has asked the provider for the launch. */
  #wasRequested = false;
  /** The provider has ended the launch, with this answer. */
  #end: { readonly progress: CallProgress | undefined } | undefined;
  #isFinished = false;
  #usualMs: number | undefined;
  #mostOthers = 0;
  #countAtMs = 0;

  constructor(deps: LaunchDeps, lease: Lease<LaunchRecord>) {
    this.#deps = deps;
    this.lease = lease;
    const now = deps.clock.monotonic();
    this.#memory = firstMemory(now);
    this.#nextLookAtMs = now;
  }

  get record(): LaunchRecord {
    return this.lease.record;
  }

  /** Nothing of the launch is left, or another instance owns it: this one does nothing more about it. */
  get isReleased(): boolean {
    return this.#isFinished || this.lease.isLost;
  }

  isDue(nowMs: number): boolean {
    return this.#isHinted || this.#nextLookAtMs <= nowMs;
  }

  lookLater(inMs: number): void {
    this.#nextLookAtMs = this.#deps.clock.monotonic() + inMs;
  }

  /** Makes the launch due, since its room has changed. */
  hint(event: RoomEvent): void {
    this.#isHinted = true;
    this.#memory = memoryAfterEvent(this.#memory, this.record, event, this.#deps.clock.monotonic());
  }

  /** Asks the provider, once, right after the intent was saved. */
  async launch(): Promise<void> {
    const session = await this.#session();
    if (session === undefined) return this.finish("the session has moved on or ended");
    if (isExternal(this.record.provider) && session.state !== "dispatched") return;
    const { metadata, stored } = session;
    const whole = stored?.metadata === undefined ? metadata : await metadataOf(this.#deps.bus, session);
    const order = orderOf(this.record, session, whole);
    if (this.isReleased || !(await this.lease.isHeld(SURELY_HELD_MS))) return;
    this.#wasRequested = true;
    const launched = await this.#provider()
      .launch(order)
      .catch((error: unknown) => ({ is: "unconfirmed" as const, reason: messageOf(error) }));
    if (launched.is === "launched") return this.#launched(launched);
    if (launched.is === "left") {
      this.#isFinished = true;
      return;
    }
    if (launched.is === "refused") {
      // Nothing was started. A reader must not take the record for a call that may have been made.
      await this.#save({ ...this.record, state: "over", reason: readable(launched.reason) });
      return this.#fail(session, launched.reason, launched.retryable);
    }
    const { reason } = launched;
    const { sessionId, attempt } = this.record;
    this.#deps.log.warn({ sessionId, attempt, reason }, "a launch is unconfirmed; looking it up");
    // No second request under this attempt: the first one may still arrive.
    await this.#lookUp(session, { mayLaunch: false, reason });
  }

  /** Observes the launch and acts on what it finds. @throws when the provider can't be asked */
  async look(): Promise<void> {
    this.#isHinted = false;
    const session = await this.#session();
    if (session === undefined) return this.finish("the session has moved on or ended");
    if (this.#failure !== undefined)
      return this.#fail(session, this.#failure.reason, this.#failure.retryable);
    if (this.record.state === "unknown") return this.#fail(session, this.record.reason ?? "", false);
    // After a takeover: the dead owner may have asked the provider or not.
    if (this.record.state === "intended") return this.#lookUp(session, { mayLaunch: true, reason: "" });
    await this.#observe(session);
  }

  /** Ends the launch at the provider. @throws when something of it may be left; the caller retries */
  async finish(reason: string): Promise<void> {
    if (this.isReleased) return;
    // The provider refused it, or its end was saved although the answer was lost.
    if (this.record.state === "over") {
      this.#isFinished = true;
      return;
    }
    // Once only: after a failed save, the provider may have forgotten the launch.
    this.#end ??= { progress: await this.#provider().end(this.record, reason) };
    const { provider, state, takeovers } = this.record;
    // An earlier owner, or this one, may have made the call without being able to save it.
    const mayHaveBegun = state === "intended" && (takeovers > 0 || this.#wasRequested);
    const call = isTelephone(provider)
      ? callAtItsEnd(this.record, this.#end.progress, mayHaveBegun)
      : undefined;
    const isSaved = await this.#save({
      ...this.record,
      state: "over",
      reason: reason.slice(0, REASON_MAX),
      ...(call === undefined ? {} : { call }),
    });
    if (!isSaved && !this.isReleased)
      throw new GreenroomError("storage_unavailable", "An earlier write of this launch was stored late.");
    this.#isFinished = true;
  }

  async #observe(session: SessionRecord): Promise<void> {
    const { clock, limits } = this.#deps;
    const launch = this.record;
    const observation = await this.#provider().observe(launch);
    const nowMs = clock.monotonic();
    const isAgent = isExternal(launch.provider);
    const usualJoinMs = session.state === "dispatched" ? this.#usualJoinMs(session) : undefined;
    const othersJoining = this.#mostOthersJoining(session, nowMs);
    const found = { launch, record: session, observation, memory: this.#memory };
    const look = { ...found, limits, nowMs, usualJoinMs, othersJoining };
    const decision = (isAgent ? eventsFor : callEventsFor)({ ...look, at: isoNow(clock) });
    this.#memory = decision.memory;
    this.lookLater(
      isAgent
        ? nextLookInMs(
            { record: session, memory: this.#memory },
            nowMs - this.#memory.sinceMs,
            limits.observeMs,
          )
        : nextCallLookInMs(decision.launch, limits.observeMs),
    );
    if (decision.launch !== launch && !(await this.#save(decision.launch))) return;
    for (const event of decision.events) await this.#publish(event);
  }

  /** The time in which nine of ten known agents of the profile joined. Read once, when an agent is late. */
  #usualJoinMs({ profile, provider }: SessionRecord): number | undefined {
    const { clock, sessions } = this.#deps;
    if (this.#usualMs === undefined && clock.monotonic() - this.#memory.sinceMs >= LATE_MS) {
      const known = sessions
        .all()
        .filter(({ record }) => record.profile === profile && record.provider === provider)
        .flatMap(({ record }) => record.timings.joinMs ?? [])
        .sort((a, b) => a - b);
      this.#usualMs = known[Math.floor(known.length * 0.9)] ?? 0;
    }
    return this.#usualMs;
  }

  /** Counted once a second, while a worker has the job and its agent is not there. */
  #mostOthersJoining({ profile, provider, sessionId }: SessionRecord, nowMs: number): number {
    if (this.#memory.takenSinceMs === undefined || nowMs < this.#countAtMs) return this.#mostOthers;
    this.#countAtMs = nowMs + COUNT_MS;
    const isOther = (record: SessionRecord) =>
      record.state === "dispatched" && record.profile === profile && record.provider === provider;
    const others = this.#deps.sessions
      .all()
      .filter(({ record }) => isOther(record) && record.sessionId !== sessionId);
    this.#mostOthers = Math.max(this.#mostOthers, others.length);
    return this.#mostOthers;
  }

  /**
   * Asks the provider what became of an intent.
   * @param mayLaunch whether to launch it when the provider does not have it
   */
  async #lookUp(
    session: SessionRecord,
    { mayLaunch, reason }: { mayLaunch: boolean; reason: string },
  ): Promise<void> {
    const found = await this.#provider().observe(this.record);
    switch (found.is) {
      case "absent":
        if (mayLaunch) return this.launch();
        return this.#fail(session, `${reason}; ${found.reason}`, true);
      case "untellable":
        await this.#save({
          ...this.record,
          state: "unknown",
          reason: readable(`${reason} ${found.reason}`),
          ...(isTelephone(this.record.provider) ? { call: { status: "unknown" as const } } : {}),
        });
        return;
      case "declined":
      case "ended":
        return this.#observe(session);
      default:
        return this.#launched(found);
    }
  }

  async #launched({ externalId, identity, call }: LaunchHandle): Promise<void> {
    await this.#save({
      ...this.record,
      state: "launched",
      ...(externalId === undefined ? {} : { externalId }),
      ...(identity === undefined ? {} : { identity }),
      ...(call === undefined ? {} : { call }),
    });
    this.lookLater(0);
  }

  async #fail(session: SessionRecord, reason: string, retryable: boolean): Promise<void> {
    const { provider } = this.record;
    const at = isoNow(this.#deps.clock);
    this.#failure = { reason, retryable };
    this.lookLater(PUBLISH_AGAIN_MS);
    if (!isExternal(provider))
      return this.#publish(couldNotCall(this.record, session, readable(reason), retryable, at));
    await this.#publish({
      type: "agent_ended",
      ...attemptRefOf(this.record),
      at,
      host: session.host ?? "",
      epoch: session.hostEpoch ?? 0,
      reason: readable(reason),
      error: readable(reason),
      retryable,
      cause: "provider",
    });
  }

  /** An event is stored under an id of its attempt, so that a repetition is a duplicate. */
  async #publish(event: SessionEvent): Promise<void> {
    const { bus, clock, log } = this.#deps;
    const nowMs = clock.monotonic();
    const publishedAtMs = this.#publishedAtMs.get(event.type);
    if (publishedAtMs !== undefined && nowMs - publishedAtMs < PUBLISH_AGAIN_MS) return;
    await bus.streams.publish(sessionEvents, event);
    this.#publishedAtMs.set(event.type, nowMs);
    const { sessionId, attempt, provider } = this.record;
    const reason = "reason" in event ? { reason: event.reason } : {};
    log.info({ sessionId, attempt, provider, ...reason }, `published ${event.type}`);
  }

  /** @returns false when another instance owns the launch, or an earlier write was stored late */
  async #save(launch: LaunchRecord): Promise<boolean> {
    if (await this.lease.save(() => launch)) return true;
    if (!this.lease.isLost) this.lookLater(READ_AGAIN_MS);
    return false;
  }

  /** The session's record while it names this launch. The view may be behind, so a missing record is read again. */
  async #session(): Promise<SessionRecord | undefined> {
    const { bus, sessions: view } = this.#deps;
    const { tenant, sessionId } = this.record;
    const seen = view.get(tenant, sessionId)?.record;
    if (seen !== undefined && isNamedBy(seen, this.record)) return seen;
    const read = (await bus.kv.get(sessions, sessionKey(this.record)))?.value;
    return read !== undefined && isNamedBy(read, this.record) ? read : undefined;
  }

  #provider(): ProviderDriver {
    const provider = this.#deps.providers.get(this.record.provider);
    if (provider !== undefined) return provider;
    throw new GreenroomError("internal", `There is no provider ${this.record.provider}.`);
  }
}

/** An external agent belongs to one attempt; a call that was made into a room belongs to its session. */
const isNamedBy = (session: SessionRecord, launch: LaunchRecord): boolean =>
  session.state !== "ended" &&
  (!isExternal(launch.provider) ||
    (session.attempt === launch.attempt && session.host === providerHostOf(launch.provider)));

const readable = (reason: string): string => redactTokens(reason).trim().slice(0, REASON_MAX);

const orderOf = (
  launch: LaunchRecord,
  session: SessionRecord,
  metadata: LaunchOrder["metadata"],
): LaunchOrder => ({
  ...attemptRefOf(launch),
  profile: launch.profile,
  room: launch.room ?? session.room,
  user: session.user,
  metadata,
  recovering: session.recovering,
  longestMs: session.deadlineMs.maxDuration,
  ...(session.call === undefined ? {} : { call: session.call }),
});
