// Whether an agent that is listed in its room still answers: LiveKit lists one whose process died for half a minute.
import type { AskClient } from "../../../libs/livekit/ask-agent.ts";
import type { Clock } from "../../../libs/runtime/clock.ts";

interface Heard {
  askedAtMs: number;
  responded: boolean;
  isSilent: boolean;
}

export interface UnresponsiveAgents {
  /** True when it answered before, and doesn't now. One that can't be asked was never silent. */
  of(room: string, identity: string): Promise<boolean>;
  forget(identity: string): void;
}

const ANSWER_MS = 1500;
/** One that answers is left alone for so long; one that doesn't is asked again at the next look. */
const AGAIN_MS = 2000;
/** Those whose launch another instance ended are forgotten when there are many. */
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
