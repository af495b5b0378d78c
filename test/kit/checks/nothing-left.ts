// Checks after each scenario: legal histories, and no leftover room, slot or process.
import { readdirSync, readFileSync } from "node:fs";
import { expect } from "vitest";
import { sessions } from "../../../libs/contracts/buckets.ts";
import { STANDBY_PREFIX } from "../../../libs/contracts/ids.ts";
import type { SessionRecord } from "../../../libs/contracts/sessions/session.ts";
import { deadLetters } from "../../../libs/contracts/streams.ts";
import { HISTORY_MAX } from "../../../libs/domain/session/transitions.ts";
import { messagesOn } from "../read-messages.ts";
import type { Scene } from "../stack/scene.ts";
import type { Json } from "../stack/stack.ts";
import { until } from "../until.ts";
import { gainedLines } from "./record-replay.ts";

/** The longest time that a room, slot or process may outlive its session. */
const LEFT_MS = 30_000;

/** Ends every open session and waits until nothing is left of any session. */
export async function expectNothingLeft(scene: Scene): Promise<void> {
  const open = (await scene.bus.kv.entries(sessions)).filter(({ value }) => value.state !== "ended");
  await Promise.all(open.map(({ value }) => scene.end(value.sessionId)));
  let left: string[] = [];
  await until(
    async () => {
      left = await whatIsLeft(scene);
      return left.length === 0;
    },
    {
      timeoutMs: LEFT_MS,
      everyMs: 250,
      what: () => `nothing outlives its session; left over: ${left.join(", ")}`,
    },
  );
  for (const { value } of await scene.bus.kv.entries(sessions))
    expectLegalLife(await scene.revisions(value.sessionId));
  expect(await messagesOn(scene.bus, deadLetters, "dead.>", 10), "dead letters").toEqual([]);
}

async function whatIsLeft(scene: Scene): Promise<string[]> {
  const hosts = await scene.hosts();
  const processes = hosts.flatMap((host) => host.processes);
  const slots = processes.flatMap((one) => one.slots);
  const standby = new Set(slots.map((slot: Json) => STANDBY_PREFIX + slot.id));
  const rooms = scene.stack.livekit === undefined ? [] : await scene.rooms.list();
  const known = new Set(processes.map((one: Json) => one.pid));
  return [
    ...rooms.filter(({ name }) => !standby.has(name)).map(({ name }) => `room ${name}`),
    ...slots
      .filter((slot: Json) => slot.sessionId)
      .map((slot: Json) => `the slot of session ${slot.sessionId}`),
    ...agentProcessPids(scene)
      .filter((pid) => !known.has(pid))
      .map((pid) => `agent process ${pid}, which no host knows`),
  ];
}

/** The agent processes of the stack, including those whose host is dead. Linux only; empty elsewhere. */
function agentProcessPids(scene: Scene): number[] {
  const pids = new Set(scene.stack.leftovers());
  return numbersIn("/proc").filter((pid) => pids.has(pid) && isAgentProcess(environmentOf(pid)));
}

/** The children of an agent process (the TypeScript compiler) inherit the first variable but not the second. */
const isAgentProcess = (environment: string): boolean =>
  environment.includes("\0PROCESS_START=") && environment.includes("\0NODE_CHANNEL_FD=");

function numbersIn(folder: string): number[] {
  try {
    return readdirSync(folder).map(Number).filter(Number.isInteger);
  } catch {
    return [];
  }
}

function environmentOf(pid: number): string {
  try {
    return `\0${readFileSync(`/proc/${pid}/environ`, "utf8")}`;
  } catch {
    return ""; // The process has just ended.
  }
}

const NEXT: Record<string, readonly string[]> = {
  requested: ["dispatched", "ended"],
  dispatched: ["joined", "ready", "requested", "ended"],
  joined: ["ready", "requested", "ended"],
  ready: ["requested", "ended"],
  ended: [],
};

/** Checks every stored revision of one record against the transitions of the machine. */
export function expectLegalLife(revisions: readonly SessionRecord[]): void {
  const [first] = revisions;
  const about = `session ${first?.sessionId}`;
  /** All steps, including those that the record's history no longer has. */
  const steps = [...(first?.history ?? [])];
  expect(first?.history[0], about).toMatchObject({ state: "requested", attempt: 1 });
  for (const [index, record] of revisions.entries()) {
    expect(record.history.at(-1), about).toMatchObject({ state: record.state, attempt: record.attempt });
    const before = revisions[index - 1];
    if (before === undefined) continue;
    expect(before.state, `${about} changed after its end`).not.toBe("ended");
    const gained = gainedLines(before, record);
    expect(gained, `${about} continues its history`).toBeDefined();
    const all = [...before.history, ...(gained ?? [])];
    // A history at its limit keeps its first entry and the newest ones.
    const kept = [...all.slice(0, 1), ...all.slice(1).slice(1 - HISTORY_MAX)];
    expect(record.history, `${about} keeps its history`).toEqual(kept);
    steps.push(...(gained ?? []));
  }
  for (const [index, step] of steps.entries()) {
    const before = steps[index - 1];
    const mayHaveForgotten = index === 1 && first?.history.length === HISTORY_MAX;
    if (before === undefined || mayHaveForgotten) continue;
    expect(NEXT[before.state], `${about}: from ${before.state}`).toContain(step.state);
    const isNewAttempt = step.state === "requested";
    expect(step.attempt, `${about}: ${step.state}`).toBe(before.attempt + (isNewAttempt ? 1 : 0));
  }
}
