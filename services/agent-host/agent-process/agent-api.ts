// What an agent file may import from "greenroom/agent". None of it is needed to run here.
import { getJobContext, type llm } from "@livekit/agents";
import type { User } from "../../../libs/contracts/sessions/session.ts";

export interface SessionInfo {
  readonly sessionId: string;
  readonly tenant: string;
  /** 1 for the first; a higher one means that an earlier try failed or was declined. */
  readonly attempt: number;
  readonly user: User;
  /** True when this agent goes on with a conversation that another agent began. */
  readonly resumed: boolean;
}

/** What a former agent of this session left to go on from. */
export interface Resumption {
  /** The attempt that the former agent served. */
  readonly attempt: number;
  /** What was said until it was lost, calls of tools and their outputs included; a copy of your own. */
  readonly chatCtx: llm.ChatContext;
  /** How many of the oldest items are missing, since a conversation is kept only up to 128 KB. */
  readonly omitted: number;
  /** The `id` of the Agent that talked last, for a file with several. */
  readonly agentId: string | undefined;
}

/** Under this a stage keeps its hooks on the job's context. */
export const greenroomJob = Symbol.for("greenroom.job");

export interface GreenroomJob {
  readonly info: SessionInfo;
  ready(): void;
  getResumption(): Resumption | undefined;
  disableAutoGreeting(): void;
}

/**
 * Says that this agent is ready for its user. An AgentSession says it by starting; a file that uses none
 * calls this. Outside Greenroom, as under `npx livekit-agents dev`, it does nothing.
 */
export function ready(): void {
  present()?.ready();
}

/** The session that this job serves; undefined outside Greenroom. */
export function sessionInfo(): SessionInfo | undefined {
  return present()?.info;
}

/**
 * What this agent goes on from, when another one was lost in the middle of a conversation; undefined for a
 * conversation that begins.
 *
 * A file need not ask: what was said is in its agent's context before the AgentSession has started. This is for
 * files that want to know, as to begin with another Agent or to read again what they looked up.
 */
export function getResumption(): Resumption | undefined {
  return present()?.getResumption();
}

/**
 * Says that this file opens a resumed conversation by itself. Otherwise what `entry` or `onEnter` say first is held
 * back, since the user was greeted long ago, and a short sentence is said in its place. Call it before
 * `session.start`; for a conversation that begins it changes nothing.
 */
export function disableAutoGreeting(): void {
  present()?.disableAutoGreeting();
}

const present = (): GreenroomJob | undefined =>
  (getJobContext(false) as { [greenroomJob]?: GreenroomJob } | undefined)?.[greenroomJob];
