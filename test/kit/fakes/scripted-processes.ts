// Stages that do what a test says, in the place of child processes; and a pool of agents on them.
import type { PoolSettings } from "../../../libs/contracts/fleet/pool.ts";
import { silentLog } from "../../../libs/runtime/log.ts";
import { AgentPool } from "../../../services/agent-host/pool/agent-pool.ts";
import type { HostToProcess, JobRequest, ProcessToHost } from "../../../services/agent-host/pool/messages.ts";
import type { Assignment, Slot } from "../../../services/agent-host/pool/slots.ts";
import { SpawnLimiter } from "../../../services/agent-host/pool/spawn-limiter.ts";
import type { LaunchProcess } from "../../../services/agent-host/pool/supervised-process.ts";
import { createSimClock, type SimClock } from "../sim-clock.ts";

type Slotted = Extract<HostToProcess, { slot: string }>;

interface ScriptedStage {
  /** All that its host told it, pings apart. */
  readonly told: HostToProcess[];
  readonly isKilled: boolean;
  /** Whether it answers pings. */
  isSilent: boolean;
  /** Whether its process stands still. */
  isStopped: boolean;
  /** How long it has waited for a CPU so far. */
  runDelayMs: () => number;
  memoryMb: number;
  say(message: ProcessToHost): void;
  die(reason: string): void;
  /** The slots that it was told something of, in order. */
  slots(type: Slotted["type"]): string[];
}

function scriptStages(): { launch: LaunchProcess; stages: ScriptedStage[] } {
  const stages: ScriptedStage[] = [];
  const launch: LaunchProcess = (_start, listener) => {
    let isKilled = false;
    const stage: ScriptedStage = {
      told: [],
      get isKilled() {
        return isKilled;
      },
      isSilent: false,
      isStopped: false,
      runDelayMs: () => 0,
      memoryMb: 100,
      say: (message) => listener.onMessage(message),
      die: (reason) => listener.onExit(reason),
      slots: (type) => stage.told.flatMap((message) => (message.type === type ? [message.slot] : [])),
    };
    stages.push(stage);
    return {
      pid: stages.length,
      send: (message) => {
        if (message.type !== "ping") stage.told.push(message);
        else if (!stage.isSilent) listener.onMessage({ type: "pong", memoryMb: stage.memoryMb });
      },
      kill: () => {
        isKilled = true;
      },
      isStopped: () => stage.isStopped,
      runDelayMs: () => stage.runDelayMs(),
    };
  };
  return { launch, stages };
}

export interface PoolScene {
  readonly pool: AgentPool;
  readonly clock: SimClock;
  readonly stages: ScriptedStage[];
  /** What the pool told its host, in words. */
  readonly heard: string[];
  /** Standby rooms that were made and taken away. */
  readonly rooms: string[];
  /** Every agent that is being started gets warm. */
  warmUp(): void;
  /** Takes an agent and begins its job. */
  give(sessionId: string, asked?: "hot" | "warm" | "cold"): Slot | undefined;
  numbers(): { warm: number; hot: number; warming: number; busy: number };
}

/** A pool whose first stage has loaded the file. */
export function poolScene(target: Partial<PoolSettings> = {}, standby = true, spreadOver = 1): PoolScene {
  const clock = createSimClock();
  const { launch, stages } = scriptStages();
  const heard: string[] = [];
  const rooms: string[] = [];
  const of = ({ assignment }: Slot) => assignment?.sessionId ?? "nobody";
  let ids = 0;
  const pool = new AgentPool({
    clock,
    log: silentLog,
    launch,
    limiter: new SpawnLimiter(4),
    newId: () => `id-${++ids}`,
    pingMs: 1000,
    memoryLimitMb: 500,
    spreadOver,
    start: {
      profile: "echo",
      file: "/agents/echo.ts",
      host: "h",
      livekitUrl: "",
      livekitApiKey: "",
      livekitApiSecret: "",
      simulated: false,
      logLevel: "info",
      failover: { restore: true, message: "" },
    },
    standby: standby
      ? {
          make: async (slot) => {
            rooms.push(`+${slot}`);
            return { room: `standby-${slot}`, token: "token" };
          },
          discard: (slot) => void rooms.push(`-${slot}`),
        }
      : undefined,
    listener: {
      onChange: () => {},
      onLoaded: () => heard.push("loaded"),
      onJoined: (slot) => heard.push(`joined ${of(slot)}`),
      onReady: (slot) => heard.push(`ready ${of(slot)}`),
      onUser: () => {},
      onEnded: (slot, { reason, error }) => heard.push(`ended ${of(slot)}: ${error?.message ?? reason}`),
      onLost: (slot, reason) => heard.push(`lost ${of(slot)}: ${reason}`),
      onClosed: (slot) => heard.push(`closed ${of(slot)}`),
      onConversation: (slot, { items }) => heard.push(`said ${of(slot)}: ${items.length}`),
      onMeasures: (slot, { agentTurns }) => heard.push(`measured ${of(slot)}: ${agentTurns}`),
      onLog: () => {},
    },
  });
  pool.probe();
  pool.setTarget({ min: 0, hot: 0, max: 10, perProcess: 10, ...target });
  const warmed = new Set<string>();
  return {
    pool,
    clock,
    stages,
    heard,
    rooms,
    warmUp() {
      for (const stage of stages) {
        for (const slot of stage.slots("warm")) {
          if (warmed.has(slot)) continue;
          warmed.add(slot);
          stage.say({ type: "warm", slot, tookMs: 1 });
        }
      }
    },
    give(sessionId, asked = "warm") {
      const slot = pool.take(asked, anAssignment(sessionId));
      if (slot !== undefined)
        pool.run(slot, aJob(sessionId, asked === "hot" ? undefined : `room-${sessionId}`));
      return slot;
    },
    numbers() {
      const { warm, hot, warming, busy } = pool.profile();
      return { warm, hot, warming, busy };
    },
  };
}

export const anAssignment = (sessionId: string): Omit<Assignment, "warmth"> => ({
  tenant: "t",
  sessionId,
  attempt: 1,
  takenAtMs: 0,
  job: undefined,
  readyAtMs: undefined,
  lastActiveAtMs: 0,
  userJoined: false,
  isReleased: false,
});

const aJob = (sessionId: string, room?: string): JobRequest => ({
  tenant: "t",
  sessionId,
  attempt: 1,
  room,
  token: room === undefined ? undefined : "token",
  identity: `agent-${sessionId}-1`,
  user: { id: "u", name: "U" },
  metadata: "{}",
  recovering: false,
});
