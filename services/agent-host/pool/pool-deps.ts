// The dependencies of a pool of agents.
import type { PoolSettings } from "../../../libs/contracts/fleet/pool.ts";
import type { AgentEvent } from "./messages.ts";
import type { ProcessPoolDeps } from "./process-pool.ts";
import type { Slot } from "./slots.ts";
import type { SpawnLimiter } from "./spawn-limiter.ts";
import type { StandbyRoomSource } from "./standby.ts";

export interface PoolDeps extends ProcessPoolDeps {
  readonly limiter: SpawnLimiter;
  readonly standby: StandbyRoomSource | undefined;
  readonly prewarmTimeoutMs: number;
  /** The number of agent processes that the idle agents are spread over, if there are enough agents. */
  readonly spreadOver: number;
  readonly onUnhandledRejection: () => void;
  /** Called when the file is disabled, or is no agent file. In the second case the pool is of no use. */
  readonly onUseless: (status: "disabled" | "no_agent", reason: string) => void;
  /** Called when the number or the state of the agents changed. */
  readonly onChange: () => void;
  /** Called when an agent process has loaded the file, with the file's `pool` export. */
  readonly onLoaded: (exported: Partial<PoolSettings>, version: string | undefined) => void;
  /** Called for everything that happens to an agent while it serves a session. */
  readonly onAgentEvent: (slot: Slot, event: AgentEvent) => void;
}
