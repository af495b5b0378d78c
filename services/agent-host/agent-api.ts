// What an agent file may import from "greenroom/agent". None of it is needed to run here.
import { getJobContext } from "@livekit/agents";
import type { User } from "../../libs/contracts/session.ts";

export interface SessionInfo {
  readonly sessionId: string;
  readonly tenant: string;
  /** 1 for the first; a higher one means that an earlier try failed or was declined. */
  readonly attempt: number;
  readonly user: User;
  /** True when this agent goes on with a conversation that another agent began. */
  readonly resumed: boolean;
}

/** Under this a stage keeps its hooks on the job's context. */
export const greenroomJob = Symbol.for("greenroom.job");

export interface GreenroomJob {
  readonly info: SessionInfo;
  ready(): void;
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

const present = (): GreenroomJob | undefined =>
  (getJobContext(false) as { [greenroomJob]?: GreenroomJob } | undefined)?.[greenroomJob];
