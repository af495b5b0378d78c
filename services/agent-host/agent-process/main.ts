// A stage: the child process in which agents of one profile run. Its host tells it what to do.
import { type AgentDefinition, isAgent, JobProcess } from "@livekit/agents";
import { messageOf } from "../../../libs/contracts/errors.ts";
import { FailoverSettings } from "../../../libs/contracts/sessions/conversation.ts";
import { redactTokens } from "../../../libs/runtime/redact-tokens.ts";
import { mapStackTraces } from "../../../libs/runtime/stack-traces.ts";
import type { HostToProcess, ProcessFailover, ProcessStart, ProcessToHost } from "../pool/messages.ts";
import { importAgent } from "./import-agent.ts";
import { createInference } from "./inference.ts";
import { RunningJob } from "./job.ts";
import { emulateJobProcessArgv } from "./job-process-argv.ts";
import { captureLogs, currentOwner } from "./log.ts";
import { muteUntilAnswered } from "./mute-until-answered.ts";
import { startNativeWithoutLogCapture } from "./native.ts";
import { patchAgentSession } from "./patch-agent-session.ts";
import { poolExportOf } from "./pool-export.ts";
import { resolveFromHere } from "./resolve-modules.ts";
import { JobRoom } from "./room.ts";
import { SimulatedRoom } from "./simulated-room.ts";

interface Slot {
  readonly proc: JobProcess;
  room: JobRoom | undefined;
  job: RunningJob | undefined;
}

process.title = "greenroom-agents";
mapStackTraces();
const start = JSON.parse(process.env.PROCESS_START ?? "{}") as ProcessStart;
const slots = new Map<string, Slot>();
/** Slots that are being made ready; one that is released meanwhile leaves this set and comes to nothing. */
const warming = new Set<string>();
const send = (message: ProcessToHost): void => {
  if (process.connected) process.send?.(message);
};

// Whoever started it is gone, so nobody can end it: it ends itself. It leaves its rooms first, since LiveKit
// takes an agent that just vanished for present for half a minute, and nobody would be sent in its place.
process.on("disconnect", () => {
  setTimeout(() => process.exit(0), 1000);
  const leaving = [...slots.values()].map((slot) => slot.room?.disconnect().catch(() => {}));
  void Promise.all(leaving).then(() => process.exit(0));
});
// It may have gone while this process was still loading its modules; then nobody says so again.
if (!process.connected) process.exit(0);
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => {});

const log = captureLogs(start.logLevel, send);
const nativeProblem = startNativeWithoutLogCapture();
if (nativeProblem !== undefined)
  log.warn({ nativeProblem }, "LiveKit's native log capture is on; joins are slower");
resolveFromHere();
emulateJobProcessArgv(start.file);
patchAgentSession(currentJob);
muteUntilAnswered(currentJob);
let failover: ProcessFailover = start.failover;
const inference = createInference();
const agent = await load();

process.on("uncaughtException", (error) => onStrayError(error));
process.on("unhandledRejection", (error) => onStrayError(error));
process.on("message", (message: HostToProcess) => {
  handle(message).catch((error: unknown) =>
    log.error({ error, doing: message.type }, "the stage failed to obey"),
  );
});

async function load(): Promise<AgentDefinition> {
  try {
    const module = await importAgent(start.file);
    const missing = (Array.isArray(module.requires) ? module.requires : []).filter(
      (name) => !process.env[name],
    );
    if (missing.length > 0) {
      send({ type: "disabled", reason: `${missing.join(" and ")} must be set for it` });
      return await new Promise<never>(() => {});
    }
    const found = agentIn(module);
    if (found === undefined) {
      throw new Error("it has no default export made by defineAgent({ prewarm, entry }) of @livekit/agents");
    }
    failover = failoverOf(module);
    send({ type: "loaded", pool: poolExportOf(module) });
    return found;
  } catch (error) {
    const missing = missingPackage(error);
    if (missing !== undefined) {
      send({ type: "disabled", reason: `the package ${missing} is missing; install it with npm` });
    } else {
      send({ type: "load_failed", error: messageOf(error) });
      log.error({ error }, "the agent file could not be loaded");
    }
    return await new Promise<never>(() => {});
  }
}

/** The file's `failover` export overrides the settings, unless these disable restoring. */
function failoverOf(module: Record<string, unknown>): ProcessFailover {
  const parsed = FailoverSettings.safeParse(module.failover ?? {});
  if (!parsed.success) {
    log.warn(
      { faults: parsed.error.issues },
      "ignored the file's invalid failover export; using the settings",
    );
    return start.failover;
  }
  const { restore = true, message = start.failover.message } = parsed.data;
  return { restore: restore && start.failover.restore, message };
}

/** The name of the package that an import did not find; undefined when that is not what went wrong. */
function missingPackage(error: unknown): string | undefined {
  const { code } = error as { code?: string };
  if (code !== "ERR_MODULE_NOT_FOUND" && code !== "MODULE_NOT_FOUND") return undefined;
  return /^Cannot find (?:package|module) '((?:@[^/']+\/)?[^@./'][^/']*)/.exec(messageOf(error))?.[1];
}

/** TypeScript compiled to CommonJS puts the default export one level deeper. */
function agentIn(module: Record<string, unknown>): AgentDefinition | undefined {
  const outer = module.default as { default?: unknown } | undefined;
  for (const candidate of [outer, outer?.default]) {
    if (isAgent(candidate)) return candidate as AgentDefinition;
  }
  return undefined;
}

async function handle(message: HostToProcess): Promise<void> {
  switch (message.type) {
    case "warm":
      return warm(message.slot);
    case "connect_standby":
      return heat(message.slot, message.room, message.token);
    case "run":
      return run(message);
    case "release":
      return release(message.slot, message.reason);
    case "ping":
      send({ type: "pong", memoryMb: Math.round(process.memoryUsage.rss() / 1_048_576) });
  }
}

/** Each slot has a JobProcess of its own: what `prewarm` keeps there is never shared between sessions. */
async function warm(id: string): Promise<void> {
  const began = performance.now();
  const proc = new JobProcess();
  warming.add(id);
  try {
    await agent.prewarm?.(proc);
  } catch (error) {
    warming.delete(id);
    log.error({ error, slot: id }, "prewarm failed");
    send({ type: "warm_failed", slot: id, error: messageOf(error) });
    return;
  }
  if (!warming.delete(id)) return;
  slots.set(id, { proc, room: undefined, job: undefined });
  send({ type: "warm", slot: id, tookMs: performance.now() - began });
}

async function heat(id: string, roomName: string, token: string): Promise<void> {
  const slot = slots.get(id);
  if (slot === undefined || slot.job !== undefined) return;
  const room = newRoom(roomName, id);
  try {
    await room.connect(start.livekitUrl, token, { autoSubscribe: true, dynacast: false });
  } catch (error) {
    send({ type: "standby_failed", slot: id, error: redactTokens(messageOf(error)) });
    return;
  }
  if (slot.job !== undefined || slots.get(id) !== slot) {
    await room.disconnect(); // It was assigned or closed while it connected.
    return;
  }
  slot.room = room;
  room.once("disconnected", () => {
    if (slot.room !== room || slot.job !== undefined) return;
    slot.room = undefined;
    send({ type: "standby_failed", slot: id, error: "its standby room was closed" });
  });
  send({ type: "hot", slot: id });
}

async function run({ slot: id, job }: Extract<HostToProcess, { type: "run" }>): Promise<void> {
  const slot = slots.get(id);
  if (slot === undefined || slot.job !== undefined) {
    send({
      type: "ended",
      slot: id,
      reason: "the slot is not there any more",
      lost: false,
      error: { message: "the slot is not there any more", retryable: true },
    });
    send({ type: "closed", slot: id });
    return;
  }
  const standby = slot.room;
  // A session with a room of its own can't use the standby room: the agent leaves that and goes there.
  const room =
    job.room === undefined && standby !== undefined ? standby : newRoom(job.room ?? "", job.identity);
  if (room !== standby) standby?.disconnect().catch(() => {});
  slot.room = room;
  slot.job = new RunningJob({
    slot: id,
    agent,
    proc: slot.proc,
    room,
    start,
    failover,
    job,
    inference: inference.executor,
    send,
    warn: (error, message) => log.warn({ error, slot: id, sessionId: job.sessionId }, message),
  });
  await slot.job.run();
  slots.delete(id);
}

async function release(id: string, reason: string): Promise<void> {
  const slot = slots.get(id);
  if (slot?.job !== undefined) {
    slot.job.release(reason);
    return;
  }
  warming.delete(id);
  slots.delete(id);
  await slot?.room?.disconnect().catch(() => {});
  send({ type: "closed", slot: id });
}

const newRoom = (name: string, identity: string): JobRoom =>
  start.simulated ? new SimulatedRoom(name, identity) : new JobRoom();

/**
 * An error that nobody caught. If it can be traced to one session, only that one ends. Otherwise the process
 * may be in any state: what runs may finish, and the host starts no more here.
 */
function onStrayError(error: unknown): void {
  const job = currentJob();
  if (job !== undefined) {
    job.fail(error);
    return;
  }
  log.error({ error }, "an error that nobody caught, and that belongs to no session");
  send({ type: "unhealthy", error: messageOf(error) });
}

/** The job in whose entry, room event or timer this is called. */
function currentJob(): RunningJob | undefined {
  const owner = currentOwner();
  return owner === undefined ? undefined : slots.get(owner.slot)?.job;
}
