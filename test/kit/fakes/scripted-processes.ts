// Scripted agent processes in place of child processes, and a pool of agents that runs on them.
import type { PoolSettings } from "../../../libs/contracts/fleet/pool.ts";
import { silentLog } from "../../../libs/runtime/log.ts";
import { AgentPool } from "../../../services/agent-host/pool/agent-pool.ts";
import type {
  AgentEvent,
  HostToProcess,
  JobRequest,
  ProcessStart,
  ProcessToHost,
} from "../../../services/agent-host/pool/messages.ts";
import type { CpuTimes } from "../../../services/agent-host/pool/proc-stat.ts";
import type { Assignment, Slot } from "../../../services/agent-host/pool/slots.ts";
import { SpawnLimiter } from "../../../services/agent-host/pool/spawn-limiter.ts";
import type { LaunchProcess } from "../../../services/agent-host/pool/supervised-process.ts";
import { createSimClock, type SimClock } from "../sim-clock.ts";

type Slotted = Extract<HostToProcess, { slot: string }>;

interface ScriptedProcess {
  readonly start: ProcessStart;
  /** Every message from the host, except pings. */
  readonly received: HostToProcess[];
  readonly isKilled: boolean;
  /** True when the process answers no pings. */
  isSilent: boolean;
  /** True when the process is stopped, like after SIGSTOP. */
  isStopped: boolean;
  /** By default the process computes. */
  cpuTimes: () => CpuTimes;
  /** By default no thread runs. */
  threadTimes: () => CpuTimes;
  memoryMb: number;
  lagMs: number;
  emit(message: ProcessToHost): void;
  die(reason: string): void;
  /** The slots of the messages of one type, in order. */
  slots(type: Slotted["type"]): string[];
}

function scriptProcesses(clock: SimClock): { launch: LaunchProcess; processes: ScriptedProcess[] } {
  const processes: ScriptedProcess[] = [];
  const launch: LaunchProcess = (start, listener) => {
    let isKilled = false;
    const child: ScriptedProcess = {
      start,
      received: [],
      get isKilled() {
        return isKilled;
      },
      isSilent: false,
      isStopped: false,
      cpuTimes: () => ({ ranMs: clock.monotonic(), waitedMs: 0 }),
      threadTimes: () => ({ ranMs: 0, waitedMs: 0 }),
      memoryMb: 100,
      lagMs: 0,
      emit: (message) => listener.onMessage(message),
      die: (reason) => listener.onExit(reason),
      slots: (type) => child.received.flatMap((message) => (message.type === type ? [message.slot] : [])),
    };
    processes.push(child);
    return {
      pid: processes.length,
      send: (message) => {
        if (message.type !== "ping") child.received.push(message);
        else if (!child.isSilent) {
          const { memoryMb, lagMs } = child;
          listener.onMessage({ type: "pong", memoryMb, lagMs });
        }
      },
      kill: () => {
        isKilled = true;
      },
      isStopped: () => child.isStopped,
      cpuTimes: () => child.cpuTimes(),
      threadTimes: () => child.threadTimes(),
    };
  };
  return { launch, processes };
}

export interface PoolScene {
  readonly pool: AgentPool;
  readonly clock: SimClock;
  readonly processes: ScriptedProcess[];
  /** The events that the pool reported, as text. */
  readonly events: string[];
  /** Standby rooms that were created (`+`) and discarded (`-`). */
  readonly rooms: string[];
  /** Warms every agent that is starting. */
  warmUp(): void;
  /** Takes an agent and starts its job. */
  give(sessionId: string, warmth?: "hot" | "warm" | "cold"): Slot | undefined;
  numbers(): { warm: number; hot: number; warming: number; busy: number };
}

/** The number of sessions after which a pool replaces a process. */
export const SESSIONS_MAX = 20;

/** A pool whose first agent process is starting; a test lets it load the file. */
export function poolScene(
  target: Partial<PoolSettings> = {},
  standby = true,
  spreadOver = 1,
  concurrentLoads = 4,
): PoolScene {
  const clock = createSimClock();
  const { launch, processes } = scriptProcesses(clock);
  const events: string[] = [];
  const rooms: string[] = [];
  const of = ({ assignment }: Slot) => assignment?.sessionId ?? "nobody";
  let ids = 0;
  const pool = new AgentPool({
    clock,
    log: silentLog,
    launch,
    limiter: new SpawnLimiter(4),
    loadLimiter: new SpawnLimiter(concurrentLoads),
    maxSessionsPerProcess: SESSIONS_MAX,
    newId: () => `id-${++ids}`,
    pingMs: 1000,
    timeoutMs: 3000,
    prewarmTimeoutMs: 25_000,
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
      unhandledRejections: "log",
      readyAfterMs: 5000,
      transcriptDelayMs: 1000,
      isolation: "shared",
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
    onChange: () => {},
    onLoaded: () => events.push("loaded"),
    onUnhandledRejection: () => {},
    onUseless: (status, reason) => events.push(`${status}: ${reason}`),
    onAgentEvent: (slot, event) => {
      const text = textOf(event, of(slot));
      if (text !== undefined) events.push(text);
    },
  });
  pool.probe();
  pool.setTarget({ min: 0, hot: 0, max: 10, perProcess: 10, ...target });
  const warmed = new Set<string>();
  return {
    pool,
    clock,
    processes,
    events,
    rooms,
    warmUp() {
      for (const child of processes) {
        for (const slot of child.slots("warm")) {
          if (warmed.has(slot)) continue;
          warmed.add(slot);
          child.emit({ type: "warm", slot, tookMs: 1 });
        }
      }
    },
    give(sessionId, warmth = "warm") {
      const slot = pool.take(warmth, { ...anAssignment(sessionId), takenAtMs: clock.monotonic() });
      if (slot !== undefined)
        pool.run(slot, aJob(sessionId, warmth === "hot" ? undefined : `room-${sessionId}`));
      return slot;
    },
    numbers() {
      const { warm, hot, warming, busy } = pool.profile();
      return { warm, hot, warming, busy };
    },
  };
}

/** An event as the tests expect it. */
function textOf(event: AgentEvent, sessionId: string): string | undefined {
  switch (event.type) {
    case "joined":
    case "ready":
    case "closed":
      return `${event.type} ${sessionId}`;
    case "ended":
      return `ended ${sessionId}: ${event.error?.message ?? event.reason}`;
    case "lost":
      return `lost ${sessionId}: ${event.reason}`;
    case "conversation":
      return `said ${sessionId}: ${event.items.length}`;
    case "usage":
      return `measured ${sessionId}: ${event.usage.agentTurns}`;
    default:
      return undefined;
  }
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

/** Lets the newest process load the file. */
export const load = ({ processes }: PoolScene) =>
  processes.at(-1)?.emit({ type: "loaded", pool: {}, isolation: "shared" });

/** A pool whose agents are warm. */
export function readyPool(target: Partial<PoolSettings> = {}, standby = false, spreadOver = 1): PoolScene {
  const scene = poolScene(target, standby, spreadOver);
  load(scene);
  for (let turn = 0; turn < 10; turn++) {
    scene.warmUp();
    for (const child of scene.processes) {
      if (child.received.length === 0) child.emit({ type: "loaded", pool: {}, isolation: "shared" });
    }
  }
  return scene;
}
