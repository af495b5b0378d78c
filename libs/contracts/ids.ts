// Ids in subjects and keys: their syntax, and how keys, room names and identities derive from them.
import { z } from "zod";

/** Safe in a NATS subject token, a KV key and a URL: no dots, spaces, wildcards or slashes. */
export const token = (what: string, maxLength = 64) =>
  z
    .string()
    .regex(/^[A-Za-z0-9_-]+$/, `${what} may hold letters, digits, "-" and "_" only`)
    .max(maxLength, `${what} may be ${maxLength} characters long at most`);

export const SessionId = token("A session id");
export const Tenant = token("A tenant");
export const HostId = token("A host id");
export const ProfileName = token("A profile name");

/** Identifies the code of an agent file: a text that a deployment sets, or a fingerprint of the files. */
export const AgentVersion = z
  .string()
  .min(1, "A version may not be empty")
  .max(64, "A version may be 64 characters long at most")
  .regex(/^\P{Cc}*$/u, "A version may not hold control characters");

/** The tenant of a deployment that has only one. */
export const DEFAULT_TENANT = "default";

/** The address of a session. */
export interface SessionRef {
  readonly tenant: string;
  readonly sessionId: string;
}

/** One attempt to serve a session. Every command, event and record of an attempt carries these three fields. */
export interface AttemptRef extends SessionRef {
  readonly attempt: number;
}

/** The schemas of an attempt's fields, for messages and records. */
export const attemptFields = {
  tenant: Tenant,
  sessionId: SessionId,
  attempt: z.number().int().positive(),
};

/** An attempt's three fields, taken from any message or record of the attempt. */
export const attemptRefOf = ({ tenant, sessionId, attempt }: AttemptRef): AttemptRef => ({
  tenant,
  sessionId,
  attempt,
});

/** The KV key of a session's records. */
export const sessionKey = ({ tenant, sessionId }: SessionRef): string => `${tenant}.${sessionId}`;

/** The KV key of an attempt's records. */
export const attemptKey = (ref: AttemptRef): string => `${sessionKey(ref)}.${ref.attempt}`;

/** Whether two messages or records are about the same session. */
export const isSameSession = (a: SessionRef, b: SessionRef): boolean => sessionKey(a) === sessionKey(b);

/** The room of a session whose request named none. Never used for standby rooms. */
export const roomOf = (sessionId: string): string => `session-${sessionId}`;

/** Prefix of all standby rooms, by which the janitor recognizes them. */
export const STANDBY_PREFIX = "standby-";

export const RESERVED_PREFIXES: readonly string[] = [STANDBY_PREFIX, roomOf("")];

/** Whether only Greenroom may give a room this name. */
export const isReservedRoom = (room: string): boolean =>
  RESERVED_PREFIXES.some((prefix) => room.startsWith(prefix));

/**
 * The LiveKit identity of one attempt's agent. Never reused (I8): LiveKit disconnects the older holder of an identity,
 * so with a shared one a zombie could disconnect the agent that replaced it.
 */
export const agentIdentityOf = ({ sessionId, attempt }: Omit<AttemptRef, "tenant">): string =>
  `agent-${sessionId}-${attempt}`;
