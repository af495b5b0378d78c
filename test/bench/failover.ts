// `npm run bench:failover`: measures how long a caller is without an agent when its agent dies, hangs or is drained.
import os from "node:os";
import { parseArgs } from "node:util";
import { dispose } from "@livekit/rtc-node";
import { killGroup } from "../../cli/supervisor/guard.ts";
import { agentsDir, removeAgentsDirs } from "../kit/stack/agents-dir.ts";
import { type Listener, listenIn, longestSilence } from "../kit/stack/listener.ts";
import type { ServiceProcess } from "../kit/stack/service-process.ts";
import { type Json, startStack } from "../kit/stack/stack.ts";
import { until } from "../kit/until.ts";
import { followAttempts } from "./follow-attempts.ts";
import { ms, quantile, table } from "./statistics.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "20" },
    /** Names of faults, separated by commas; all by default. */
    faults: { type: "string" },
  },
});
const ROUNDS = Number(values.rounds);
const TIMEOUT_MS = 60_000;

/** The times of one failover, in ms from the signal. */
interface FailoverTimes {
  /** Until a client sees over SSE that the session is ready again. */
  readonly record: number;
  /** Until the next agent reports ready in the room. */
  readonly room: number;
  /** The longest silence for the caller. */
  readonly silence: number;
}

interface Call {
  readonly sessionId: string;
  readonly listener: Listener;
  readonly slot: { host: Json; agentProcess: Json };
  readonly process: ServiceProcess;
}

interface Fault {
  readonly name: string;
  readonly title: string;
  readonly p50: number;
  readonly p95: number;
  strike(call: Call): void;
  /** Brings the fleet back to two hosts. */
  repair(call: Call): Promise<void>;
}

const replaceHost = async ({ process: host }: Call): Promise<void> => {
  await host.kill9();
  await stack.spawnService("agent-host");
};

const faults: Fault[] = [
  {
    name: "process-killed",
    title: "kill -9 of the agent's process",
    p50: 300,
    p95: 1000,
    strike: ({ slot }) => process.kill(slot.agentProcess.pid, "SIGKILL"),
    repair: async () => {},
  },
  {
    name: "host-killed",
    title: "kill -9 of its whole host",
    p50: 600,
    p95: 1500,
    strike: ({ process: host }) => killGroup(host.pid, "SIGKILL"),
    repair: replaceHost,
  },
  {
    name: "host-stopped",
    title: "SIGSTOP of its whole host",
    p50: 3000,
    p95: 3000,
    strike: ({ process: host }) => killGroup(host.pid, "SIGSTOP"),
    repair: replaceHost,
  },
  {
    name: "drain",
    title: "drain of its host with immediate migration",
    p50: 300,
    p95: 1000,
    strike: ({ slot }) => {
      void stack.post(`/api/hosts/${slot.host.hostId}/drain`, { deadlineS: 0, onDeadline: "migrate" });
    },
    repair: async ({ slot }) => {
      await fetch(`${stack.url}/api/hosts/${slot.host.hostId}/drain`, { method: "DELETE" });
    },
  },
];

const stack = await startStack({
  agentsDir: agentsDir("tone"),
  hosts: 2,
  env: { GREENROOM_LOG_LEVEL: "warn", GREENROOM_RATE_LIMIT: "100000" },
});
try {
  const rows = [
    [
      "from the signal, in ms",
      "until ready: p50",
      "p95",
      "least–most",
      "in the room: p50",
      "silence: p50",
      "p95",
      "target",
    ],
  ];
  for (const fault of chosen()) {
    const times: FailoverTimes[] = [];
    for (let round = 0; round < ROUNDS; round++) times.push(await oneRound(fault));
    rows.push(rowOf(fault, times));
    console.error(rows.at(-1)?.join("  "));
  }
  console.log(
    `\nReal nats-server and livekit-server, two hosts, ${os.cpus().length} cores, Node ${process.version}; ${ROUNDS} rounds each.\n`,
  );
  console.log(table(rows));
} finally {
  await stack.stop();
  removeAgentsDirs();
  await dispose();
}

function chosen(): Fault[] {
  const names = values.faults?.split(",") ?? faults.map(({ name }) => name);
  const unknown = names.filter((name) => !faults.some((fault) => fault.name === name));
  if (unknown.length > 0)
    throw new Error(
      `Unknown fault: ${unknown.join(", ")}. Known: ${faults.map(({ name }) => name).join(", ")}.`,
    );
  return faults.filter(({ name }) => names.includes(name));
}

async function oneRound(fault: Fault): Promise<FailoverTimes> {
  await bothHostsAreWarm();
  const call = await startCall();
  const ready = await followAttempts(stack.url, call.sessionId);
  const struckAtMs = performance.now();
  fault.strike(call);
  const record = await ready.attemptAfter(1, TIMEOUT_MS);
  const room = await until(() => call.listener.messages.find(({ attempt }) => attempt > 1), {
    timeoutMs: TIMEOUT_MS,
    everyMs: 2,
    what: "the next agent reports ready in the room",
  });
  const isHeard = () =>
    call.listener.sounds.filter(({ from }) => from.endsWith(`-${record.attempt}`)).length > 50;
  await until(isHeard, { timeoutMs: TIMEOUT_MS, everyMs: 10, what: "the next agent is heard" });
  const silence = longestSilence(call.listener.sounds, struckAtMs, performance.now());
  await stack.post(`/api/session/${call.sessionId}/end`);
  ready.stop();
  await call.listener.leave();
  await fault.repair(call);
  return { record: record.atMs - struckAtMs, room: room.atMs - struckAtMs, silence };
}

async function startCall(): Promise<Call> {
  const { status, body } = await stack.post("/api/session/start", { profile: "tone", wait: 30_000 });
  if (status !== 200) throw new Error(`a start returned ${status}: ${JSON.stringify(body)}`);
  const listener = await listenIn(body);
  await until(() => listener.sounds.length > 50, { timeoutMs: TIMEOUT_MS, what: "the agent is heard" });
  const slot = await until(() => slotOf(body.sessionId), {
    timeoutMs: TIMEOUT_MS,
    what: "its host reports the agent process",
  });
  const host = stack.child(slot.host.hostId.replace("host-", "agent-host-"));
  return { sessionId: body.sessionId, listener, slot, process: host };
}

async function slotOf(sessionId: string): Promise<{ host: Json; agentProcess: Json } | undefined> {
  for (const host of (await stack.get("/api/hosts")).body.hosts)
    for (const agentProcess of host.processes)
      for (const slot of agentProcess.slots) if (slot.sessionId === sessionId) return { host, agentProcess };
  return undefined;
}

/** Each failover is measured with a warm agent on another host. */
async function bothHostsAreWarm(): Promise<void> {
  await until(
    async () => {
      const hosts: Json[] = (await stack.get("/api/hosts")).body.hosts;
      const isWarm = ({ profiles }: Json) => {
        const { warm = 0, warming = 0, busy = 0 } = profiles.tone ?? {};
        return warm > 0 && warming === 0 && busy === 0;
      };
      return hosts.length === 2 && hosts.every(isWarm);
    },
    { timeoutMs: TIMEOUT_MS, everyMs: 100, what: "both hosts have warm agents" },
  );
}

function rowOf({ title, p50, p95 }: Fault, times: FailoverTimes[]): string[] {
  const valuesOf = (what: keyof FailoverTimes) => times.map((each) => each[what]);
  const q = (what: keyof FailoverTimes, part: number) => ms(quantile(valuesOf(what), part));
  const range = `${ms(Math.min(...valuesOf("record")))}–${ms(Math.max(...valuesOf("record")))}`;
  const isReached = quantile(valuesOf("record"), 0.5) <= p50 && quantile(valuesOf("record"), 0.95) <= p95;
  const target = `p50 ≤ ${p50}, p95 ≤ ${p95}: ${isReached ? "reached" : "missed"}`;
  return [
    title,
    q("record", 0.5),
    q("record", 0.95),
    range,
    q("room", 0.5),
    q("silence", 0.5),
    q("silence", 0.95),
    target,
  ];
}
