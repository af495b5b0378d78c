// The exports of "greenroom/agent". An agent file runs without them.
import { getJobContext, type llm } from "@livekit/agents";
import type { User } from "../../../libs/contracts/sessions/session.ts";

export interface SessionInfo {
  readonly sessionId: string;
  readonly tenant: string;
  /** 1 for the first attempt. A higher number means that an earlier attempt failed or was declined. */
  readonly attempt: number;
  readonly user: User;
  /** True if this agent continues a conversation that another agent began. */
  readonly resumed: boolean;
}

/** The conversation of the previous agent of this session. */
export interface Resumption {
  /** The attempt of the previous agent. */
  readonly attempt: number;
  /** A copy of the conversation, including tool calls and their outputs. */
  readonly chatCtx: llm.ChatContext;
  /** The number of oldest items that are missing, because at most 128 KB of a conversation is stored. */
  readonly omitted: number;
  /** The `id` of the Agent that spoke last, for a file with several. */
  readonly agentId: string | undefined;
}

/** The key of Greenroom's hooks in the job's context. */
export const greenroomJob = Symbol.for("greenroom.job");

export interface GreenroomJob {
  readonly info: SessionInfo;
  ready(): void;
  getResumption(): Resumption | undefined;
  disableAutoGreeting(): void;
}

/**
 * Reports that this agent is ready for its user. An AgentSession reports this when it starts; a file without one calls
 * this function. Outside Greenroom, for example in `npx livekit-agents dev`, it does nothing.
 */
export function ready(): void {
  present()?.ready();
}

/** The session that this job serves; undefined outside Greenroom. */
export function sessionInfo(): SessionInfo | undefined {
  return present()?.info;
}

/**
 * The conversation that this agent continues after the loss of another one. Undefined for a new conversation.
 *
 * Most files don't need this: the conversation is in the agent's context before the AgentSession has started. Use it
 * to begin with another Agent, for example, or to look something up again.
 */
export function getResumption(): Resumption | undefined {
  return present()?.getResumption();
}

/**
 * Lets the file open a resumed conversation itself. Otherwise Greenroom replaces the greeting of `entry` or `onEnter`
 * with a short sentence, because the user was greeted before. Call this before `session.start`. It has no effect on a
 * new conversation.
 */
export function disableAutoGreeting(): void {
  present()?.disableAutoGreeting();
}

const present = (): GreenroomJob | undefined =>
  (getJobContext(false) as { [greenroomJob]?: GreenroomJob } | undefined)?.[greenroomJob];
