// Records and messages as tests need them: valid, short, and changed where a test says so.
import type { HostRecord } from "../../libs/contracts/host.ts";
import type { PoolTarget } from "../../libs/contracts/pool.ts";
import type { Deadlines, Requested, SessionRecord } from "../../libs/contracts/session.ts";
import { newSession, type SessionDefaults } from "../../libs/session/step.ts";

export const AT = "2026-01-01T00:00:00.000Z";

const deadlineMs: Deadlines = {
  requested: 60_000,
  dispatched: 10_000,
  coldExtra: 20_000,
  joined: 15_000,
  maxDuration: 3_600_000,
  idle: 1_800_000,
  userAbsent: 300_000,
};

export const defaults: SessionDefaults = { deadlineMs, maxAttempts: 3 };

/** The request for a session. */
export const anEvent = (sessionId: string, changed: Partial<Requested> = {}): Requested => ({
  type: "requested",
  tenant: "t",
  sessionId,
  at: AT,
  profile: "echo",
  user: { id: "u", name: "U" },
  metadata: {},
  requestHash: "hash",
  ...changed,
});

/** A session that was just requested. */
export const aSession = (id: string, changed: Partial<SessionRecord> = {}): SessionRecord => ({
  ...newSession(anEvent(id), defaults),
  ...changed,
});

export const aHost = (id: string, sequence = 1, changed: Partial<HostRecord> = {}): HostRecord => ({
  id,
  epoch: 1,
  pid: 1,
  startedAt: AT,
  draining: false,
  sessions: 0,
  load: 0,
  maxAgents: 4,
  sequence,
  profiles: {},
  stages: [],
  stats: { spawned: 0, assigned: 0, lost: 0 },
  ...changed,
});

export const aPool = (profile: string, min = 1): PoolTarget => ({
  profile,
  min,
  hot: 0,
  max: 100,
  perStage: 1,
  source: "api",
});
