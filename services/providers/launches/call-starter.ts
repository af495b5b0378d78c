// Starts the phone call of each session whose agent is ready, once, on whichever instance is first.
import { messageOf } from "../../../libs/contracts/errors.ts";
import { sessionKey } from "../../../libs/contracts/ids.ts";
import type { SessionRecord } from "../../../libs/contracts/sessions/session.ts";
import type { SessionView } from "../../../libs/fleet/session-view.ts";
import type { Log } from "../../../libs/runtime/log.ts";
import type { LaunchManager } from "./launch-manager.ts";

interface Deps {
  readonly sessions: Pick<SessionView, "all" | "onChange">;
  readonly manager: Pick<LaunchManager, "begin">;
  readonly log: Log;
}

/**
 * The attempt in the key of every call's launch. With the session's own attempt, two instances that see the session
 * ready before and after a failover would each make a call.
 */
const CALL_ATTEMPT = 1;

export class CallStarter {
  readonly #deps: Deps;
  /** Sessions whose call was begun by any instance, until they end. */
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

  /** Looks at all sessions, for those whose intent could not be saved and those that are older than this process. */
  async sweep(): Promise<void> {
    await Promise.all(this.#deps.sessions.all().map(({ record }) => this.#consider(record)));
  }

  /** Begins no more calls, and waits for those that are being begun. */
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
    const { manager, log } = this.#deps;
    try {
      const { sessionId, profile, room, tenant } = record;
      const intent = { tenant, sessionId, attempt: CALL_ATTEMPT, provider: "sip" as const, profile, room };
      if (await manager.begin(intent))
        log.info({ sessionId, attempt: record.attempt, room }, "saved the intent of a call");
      this.#begun.add(key);
    } catch (error) {
      const fields = { sessionId: record.sessionId, reason: messageOf(error), retrying: true };
      log.warn(fields, "failed to save the intent of a call");
    } finally {
      this.#beginning.delete(key);
    }
  }
}

/** A warm agent waits in the room, and the record knows of no call yet. */
const needsCall = ({ call, provider, state }: SessionRecord): boolean =>
  provider === "sip" && state === "ready" && call !== undefined;
