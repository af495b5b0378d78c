// Detects agents that are listed in a room and no longer answer: LiveKit lists a dead one for half a minute.
import type { AskClient } from "../../../libs/livekit/ask-agent.ts";
import type { Clock } from "../../../libs/runtime/clock.ts";

interface Heard {
  askedAtMs: number;
  responded: boolean;
  isSilent: boolean;
}

export interface UnresponsiveAgents {
  /** True for an agent that has answered before and does not answer now. */
  of(room: string, identity: string): Promise<boolean>;
  forget(identity: string): void;
}

const ANSWER_MS = 1500;
/** The pause after an answer. An agent that did not answer is asked at every call. */
const AGAIN_MS = 2000;
/** The oldest entries are dropped above this number, since other instances may have ended their launches. */
const REMEMBERED = 10_000;

export function watchUnresponsiveAgents(clock: Clock, ask: AskClient): UnresponsiveAgents {
  const heard = new Map<string, Heard>();
  return {
    async of(room, identity) {
      const now = clock.monotonic();
      const before = heard.get(identity);
      if (before !== undefined && !before.isSilent && now - before.askedAtMs < AGAIN_MS) return false;
      const answer = await ask(room, identity, ANSWER_MS);
      const responded = before?.responded === true || answer === "responds";
      const isSilent = answer === "silent" && responded;
      heard.set(identity, { askedAtMs: now, responded, isSilent });
      for (const oldest of heard.keys()) {
        if (heard.size <= REMEMBERED) break;
        heard.delete(oldest);
      }
      return isSilent;
    },
    forget(identity) {
      heard.delete(identity);
    },
  };
}
