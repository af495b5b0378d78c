// What a liar might say of a session: events of attempts that are over, of other hosts, of former lives.
import type { SessionEvent, SessionRecord } from "../../libs/contracts/session.ts";
import { pickOne, type Random } from "./random.ts";

/**
 * An event of an older attempt; or of this one, from a life that its host no longer has, or another host.
 * None of them may change anything.
 */
export function staleEvent(random: Random, record: SessionRecord, at: string): SessionEvent {
  const isOld = record.attempt > 1 && random() < 0.7;
  const attempt = isOld ? 1 + Math.floor(random() * (record.attempt - 1)) : record.attempt;
  const address = { tenant: record.tenant, sessionId: record.id, at, attempt };
  const epoch = (record.hostEpoch ?? 1000) - (isOld ? 0 : 1);
  const host = isOld || random() < 0.5 ? (record.host ?? "host-1") : "host-nowhere";
  const by = { ...address, host, epoch };
  const place = { room: "a-forged-room", identity: "a-forged-agent", warm: "hot", tookMs: 1 } as const;
  const ofHost: [SessionEvent, ...SessionEvent[]] = [
    { ...by, ...place, type: "joined" },
    { ...by, ...place, type: "ready" },
    { ...by, type: "user_left" },
    { ...by, type: "agent_ended", why: "forged", worthRepeating: false },
    { ...by, type: "agent_ended", why: "forged", error: "forged", worthRepeating: true },
  ];
  if (!isOld) return pickOne(random, ofHost);
  return pickOne(random, [
    ...ofHost,
    { ...address, type: "agent_lost", why: "forged" },
    { ...address, type: "overdue", state: "ready", kind: "max_duration", waitedMs: 1, why: "forged" },
    { ...address, type: "overdue", state: "dispatched", kind: "join", waitedMs: 1, why: "forged" },
  ]);
}
