// One launch, from its intent to its end: asks the provider, looks how it stands, and says what happened.
import type { Bus } from "../../../libs/bus/bus.ts";
import { launches, sessions } from "../../../libs/contracts/buckets.ts";
import { GreenroomError, messageOf } from "../../../libs/contracts/errors.ts";
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
import { type Clock, isoNow } from "../../../libs/runtime/clock.ts";
import type { Log } from "../../../libs/runtime/log.ts";
import { redactTokens } from "../../../libs/runtime/redact-tokens.ts";
import type { LaunchHandle, LaunchOrder, ProviderDriver } from "../drivers/driver.ts";
import { callAtItsEnd, callEventsFor, couldNotCall, nextCallLookInMs } from "./call-events.ts";
import { eventsFor, firstMemory, type Limits, type Memory, nextLookInMs } from "./events-for.ts";

export interface LaunchDeps {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
  readonly sessions: SessionView;
  /** Which instance this is. */
  readonly instance: string;
  readonly providers: ReadonlyMap<string, ProviderDriver>;
  readonly limits: Limits & {
    /** How often a launch that is ready is looked at. */
    readonly observeMs: number;
  };
}

/** What was said and led to nothing is said again after this. */
const SAY_AGAIN_MS = 2000;
const READ_AGAIN_MS = 100;
const WHY_MAX = 480;
/** Well below the silence after a write, after which others take an instance for dead and take over its launches. */
const SURELY_HELD_MS = 2000;

let writes = 0;

/** A record as it is about to be written by this instance. */
export const written = (deps: LaunchDeps, launch: Omit<LaunchRecord, "at" | "writeId">): LaunchRecord => ({
  ...launch,
  at: isoNow(deps.clock),
  writeId: `${deps.instance}:${++writes}`,
});

export class Launch {
  readonly #deps: LaunchDeps;
  readonly #saidAtMs = new Map<string, number>();
  #launch: LaunchRecord;
  #revision: number;
  /** Since when it is known to be this instance's: nobody else had written it then. */
  #heldAtMs: number;
  #memory: Memory;
  #nextLookAtMs: number;
  #isHinted = false;
  /** It was refused, or nothing came of it: said until the session has moved on. */
  #failure: { readonly reason: string; readonly retryable: boolean } | undefined;
  /** Whether the provider was asked to launch it, from here. */
  #wasAsked = false;
  /** Nothing of it is left with the provider, and what that said to it. */
  #end: { readonly told: CallProgress | undefined } | undefined;
  /** Nothing of it is left, or another instance has it: nothing more is done here. */
  isReleased = false;

  /** @param heldAtMs when the save of this revision was begun */
  constructor(deps: LaunchDeps, launch: LaunchRecord, revision: number, heldAtMs: number) {
    this.#deps = deps;
    this.#launch = launch;
    this.#revision = revision;
    this.#heldAtMs = heldAtMs;
    const now = deps.clock.monotonic();
    this.#memory = firstMemory(now);
    this.#nextLookAtMs = now;
  }

  get record(): LaunchRecord {
    return this.#launch;
  }

  get revision(): number {
    return this.#revision;
  }

  isDue(nowMs: number): boolean {
    return this.#isHinted || this.#nextLookAtMs <= nowMs;
  }

  lookLater(inMs: number): void {
    this.#nextLookAtMs = this.#deps.clock.monotonic() + inMs;
  }

  /** Something may have happened in its room. @param leftInOrder in words, when LiveKit says so of its agent */
  hint(identity: string | undefined, leftInOrder: string | undefined): void {
    this.#isHinted = true;
    if (leftInOrder === undefined) return;
    if (identity === undefined || identity === this.#launch.identity)
      this.#memory = {
        ...this.#memory,
        leftInOrder: { reason: leftInOrder, atMs: this.#deps.clock.monotonic() },
      };
  }

  /** Asks the provider; right after the intent was saved, and not again. */
  async launch(): Promise<void> {
    const record = await this.#session();
    if (record === undefined) return this.finish("the session goes on elsewhere or is over");
    if (isExternal(this.#launch.provider) && record.state !== "dispatched") return;
    if (!(await this.#isHeld())) return;
    this.#wasAsked = true;
    const launched = await this.#provider()
      .launch(orderOf(this.#launch, record))
      .catch((error: unknown) => ({ is: "unclear" as const, reason: messageOf(error) }));
    if (launched.is === "launched") return this.#launched(launched);
    if (launched.is === "left") {
      this.isReleased = true;
      return;
    }
    if (launched.is === "refused") {
      // Nothing was started, and whoever reads it must not take it for a call that may have been made.
      await this.#save({ ...this.#launch, state: "over", reason: readable(launched.reason) });
      return this.#fail(record, launched.reason, launched.retryable);
    }
    const { sessionId, attempt } = this.#launch;
    this.#deps.log.warn(
      { sessionId, attempt, reason: launched.reason },
      "a launch is unclear and is looked up",
    );
    // Not asked a second time under this number: the first asking may still arrive.
    await this.#lookUp(record, { mayLaunch: false, reason: launched.reason });
  }

  /** Looks how it stands, and does what that calls for. @throws when it couldn't be told */
  async look(): Promise<void> {
    this.#isHinted = false;
    const record = await this.#session();
    if (record === undefined) return this.finish("the session goes on elsewhere or is over");
    if (this.#failure !== undefined) return this.#fail(record, this.#failure.reason, this.#failure.retryable);
    if (this.#launch.state === "unknown") return this.#fail(record, this.#launch.reason ?? "", false);
    // It was taken up: its former keeper is gone, and may have asked or not.
    if (this.#launch.state === "intended") return this.#lookUp(record, { mayLaunch: true, reason: "" });
    await this.#observe(record);
  }

  /** Sees to it that nothing of it is left. @throws when that isn't known; it is tried again then */
  async finish(reason: string): Promise<void> {
    if (this.isReleased) return;
    // It was refused, or its end was saved already though nobody here was told.
    if (this.#launch.state === "over") {
      this.isReleased = true;
      return;
    }
    // Told once: a provider that is asked again, since this could not be saved, has forgotten it.
    this.#end ??= { told: await this.#provider().end(this.#launch, reason) };
    const { provider, state, takeovers } = this.#launch;
    // It was made by its former keeper perhaps, or here, and could not be saved.
    const mayHaveBegun = state === "intended" && (takeovers > 0 || this.#wasAsked);
    const call = isTelephone(provider) ? callAtItsEnd(this.#launch, this.#end.told, mayHaveBegun) : undefined;
    const isSaved = await this.#save({
      ...this.#launch,
      state: "over",
      reason: reason.slice(0, WHY_MAX),
      ...(call === undefined ? {} : { call }),
    });
    if (!isSaved && !this.isReleased)
      throw new GreenroomError(
        "storage_unavailable",
        "An earlier write of this launch was stored after all.",
      );
    this.isReleased = true;
  }

  async #observe(record: SessionRecord): Promise<void> {
    const { clock, limits } = this.#deps;
    const observation = await this.#provider().observe(this.#launch);
    const now = clock.monotonic();
    const isOwn = isExternal(this.#launch.provider);
    const decision = (isOwn ? eventsFor : callEventsFor)({
      launch: this.#launch,
      record,
      observation,
      memory: this.#memory,
      limits,
      nowMs: now,
      at: isoNow(clock),
    });
    this.#memory = decision.memory;
    const ageMs = now - this.#memory.sinceMs;
    this.#nextLookAtMs =
      now +
      (isOwn
        ? nextLookInMs({ record, memory: this.#memory }, ageMs, limits.observeMs)
        : nextCallLookInMs(decision.launch, limits.observeMs));
    if (decision.launch !== this.#launch && !(await this.#save(decision.launch))) return;
    for (const event of decision.events) await this.#say(event);
  }

  /**
   * What became of an intent, by the provider's own word.
   * @param mayLaunch whether it is launched when nothing of it is there
   */
  async #lookUp(
    record: SessionRecord,
    { mayLaunch, reason }: { mayLaunch: boolean; reason: string },
  ): Promise<void> {
    const found = await this.#provider().observe(this.#launch);
    switch (found.is) {
      case "absent":
        if (mayLaunch) return this.launch();
        return this.#fail(record, `${reason}; ${found.reason}`, true);
      case "untellable":
        await this.#save({
          ...this.#launch,
          state: "unknown",
          reason: readable(`${reason} ${found.reason}`),
          ...(isTelephone(this.#launch.provider) ? { call: { status: "unknown" as const } } : {}),
        });
        return;
      case "ended":
        return this.#observe(record);
      default:
        return this.#launched(found);
    }
  }

  async #launched({ externalId, identity, call }: LaunchHandle): Promise<void> {
    await this.#save({
      ...this.#launch,
      state: "launched",
      ...(externalId === undefined ? {} : { externalId }),
      ...(identity === undefined ? {} : { identity }),
      ...(call === undefined ? {} : { call }),
    });
    this.#nextLookAtMs = this.#deps.clock.monotonic();
  }

  async #fail(record: SessionRecord, reason: string, retryable: boolean): Promise<void> {
    const { clock } = this.#deps;
    this.#failure = { reason, retryable };
    this.lookLater(SAY_AGAIN_MS);
    if (!isExternal(this.#launch.provider)) {
      await this.#say(couldNotCall(this.#launch, record, readable(reason), retryable, isoNow(clock)));
      return;
    }
    await this.#say({
      type: "agent_ended",
      ...attemptRefOf(this.#launch),
      at: isoNow(clock),
      host: record.host ?? "",
      epoch: record.hostEpoch ?? 0,
      reason: readable(reason),
      error: readable(reason),
      retryable,
      cause: "provider",
    });
  }

  /** Said again only after a while: it is stored, and its id makes two tellings one. */
  async #say(event: SessionEvent): Promise<void> {
    const { bus, clock, log } = this.#deps;
    const now = clock.monotonic();
    const saidAtMs = this.#saidAtMs.get(event.type);
    if (saidAtMs !== undefined && now - saidAtMs < SAY_AGAIN_MS) return;
    await bus.streams.publish(sessionEvents, event);
    this.#saidAtMs.set(event.type, now);
    const { sessionId, attempt, provider } = this.#launch;
    const reason = "reason" in event ? { reason: event.reason } : {};
    log.info({ sessionId, attempt, provider, ...reason }, `said: ${event.type.replaceAll("_", " ")}`);
  }

  /** @returns false when another instance has it by now, or an earlier write from here was stored after all */
  async #save(launch: LaunchRecord): Promise<boolean> {
    const next = written(this.#deps, launch);
    const beganAtMs = this.#deps.clock.monotonic();
    const revision = await this.#deps.bus.kv.update(launches, next, this.#revision);
    if (revision === undefined) {
      await this.#readAgain();
      return false;
    }
    this.#launch = next;
    this.#revision = revision;
    this.#heldAtMs = beganAtMs;
    return true;
  }

  /** A write was lost: to another instance, or to one from here whose answer had been lost. */
  async #readAgain(): Promise<void> {
    const { bus, clock, instance } = this.#deps;
    const askedAtMs = clock.monotonic();
    const found = await bus.kv.get(launches, launches.keyOf(this.#launch));
    if (found?.value.by !== instance || found.value.takeovers !== this.#launch.takeovers) {
      this.isReleased = true;
      return;
    }
    this.lookLater(READ_AGAIN_MS);
    if (found.revision <= this.#revision) return;
    this.#launch = found.value;
    this.#revision = found.revision;
    this.#heldAtMs = askedAtMs;
  }

  /** Whether it is still this instance's: one that was paused for long was taken for dead, and does not know it. */
  async #isHeld(): Promise<boolean> {
    const { bus, clock } = this.#deps;
    while (!this.isReleased && clock.monotonic() - this.#heldAtMs > SURELY_HELD_MS) {
      const askedAtMs = clock.monotonic();
      const found = await bus.kv.get(launches, launches.keyOf(this.#launch));
      if (found?.revision === this.#revision) this.#heldAtMs = askedAtMs;
      else this.isReleased = true;
    }
    return !this.isReleased;
  }

  /** The session's record while it names this launch. The view may be behind, so a no is read again. */
  async #session(): Promise<SessionRecord | undefined> {
    const { bus, sessions: view } = this.#deps;
    const { tenant, sessionId } = this.#launch;
    const seen = view.get(tenant, sessionId)?.record;
    if (seen !== undefined && isNamedBy(seen, this.#launch)) return seen;
    const read = (await bus.kv.get(sessions, sessionKey(this.#launch)))?.value;
    return read !== undefined && isNamedBy(read, this.#launch) ? read : undefined;
  }

  #provider(): ProviderDriver {
    const provider = this.#deps.providers.get(this.#launch.provider);
    if (provider !== undefined) return provider;
    throw new GreenroomError("internal", `There is no provider ${this.#launch.provider}.`);
  }
}

/** An agent that comes from elsewhere is one attempt's; a call that was made into a room is its session's. */
const isNamedBy = (record: SessionRecord, launch: LaunchRecord): boolean =>
  record.state !== "ended" &&
  (isExternal(launch.provider)
    ? record.attempt === launch.attempt && record.host === providerHostOf(launch.provider)
    : true);

const readable = (reason: string): string => redactTokens(reason).trim().slice(0, WHY_MAX);

const orderOf = (launch: LaunchRecord, record: SessionRecord): LaunchOrder => ({
  ...attemptRefOf(launch),
  profile: launch.profile,
  room: launch.room ?? record.room,
  user: record.user,
  metadata: record.metadata,
  recovering: record.recovering,
  longestMs: record.deadlineMs.maxDuration,
  ...(record.call === undefined ? {} : { call: record.call }),
});
