// Starts the telephone call of each session whose agent is ready for it, once, whichever instance is first.
import { messageOf } from "../../../libs/contracts/errors.ts";
import { sessionKey } from "../../../libs/contracts/ids.ts";
import type { SessionRecord } from "../../../libs/contracts/sessions/session.ts";
import type { SessionView } from "../../../libs/fleet/session-view.ts";
import type { Log } from "../../../libs/runtime/log.ts";
import type { LaunchManager } from "./launch-manager.ts";

interface Deps {
  readonly sessions: Pick<SessionView, "all" | "onChange">;
  readonly keeper: Pick<LaunchManager, "begin">;
  readonly log: Log;
}

/**
 * The number in the key of every call's launch, whichever agent waits for it: a session that is handed over before
 * two instances saw it ready must not be called by each of them under another number.
 */
const CALL_ATTEMPT = 1;

export class CallStarter {
  readonly #deps: Deps;
  /** Sessions whose call was begun, here or elsewhere, until they end. */
  readonly #begun = new Set<string>();
  readonly #beginning = new Map<string, Promise<void>>();
  readonly #stopFollowing: () => void;
  #isStopped = false;

  constructor(deps: Deps) {
    this.#deps = deps;
    this.#stopFollowing = deps.sessions.onChange(({ key, seen }) => {
      if (seen === undefined || seen.record.state === "ended") this.#begun.delete(key);
      else void this.#consider(seen.record);
    });
  }

  /** Looks at all sessions once more: for those whose intent could not be saved, and those that were there before. */
  async sweep(): Promise<void> {
    await Promise.all(this.#deps.sessions.all().map(({ record }) => this.#consider(record)));
  }

  /** Begins no more; answers when what was being begun is. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#stopFollowing();
    await Promise.all(this.#beginning.values());
  }

  async #consider(record: SessionRecord): Promise<void> {
    const key = sessionKey(record);
    if (this.#isStopped || !needsCall(record) || this.#begun.has(key) || this.#beginning.has(key)) return;
    const beginning = this.#begin(record, key);
    this.#beginning.set(key, beginning);
    await beginning;
  }

  async #begin(record: SessionRecord, key: string): Promise<void> {
    const { keeper, log } = this.#deps;
    try {
      const { sessionId, profile, room, tenant } = record;
      const intent = { tenant, sessionId, attempt: CALL_ATTEMPT, provider: "sip" as const, profile, room };
      if (await keeper.begin(intent))
        log.info({ sessionId, attempt: record.attempt, room }, "a call is intended");
      this.#begun.add(key);
    } catch (error) {
      log.warn(
        { sessionId: record.sessionId, reason: messageOf(error) },
        "a call's intent could not be saved; it is tried again",
      );
    } finally {
      this.#beginning.delete(key);
    }
  }
}

/** A warm agent waits in the room, and nobody has been called yet as far as the record tells. */
const needsCall = ({ call, provider, state }: SessionRecord): boolean =>
  provider === "sip" && state === "ready" && call !== undefined;
