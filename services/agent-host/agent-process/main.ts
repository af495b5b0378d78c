// The agent process: a child process of a host that runs several agents of one profile.
import { type AgentDefinition, isAgent, JobProcess } from "@livekit/agents";
import { messageOf } from "../../../libs/contracts/errors.ts";
import { FailoverSettings } from "../../../libs/contracts/sessions/conversation.ts";
import { redactTokens } from "../../../libs/runtime/redact-tokens.ts";
import { mapStackTraces } from "../../../libs/runtime/stack-traces.ts";
import type { HostToProcess, ProcessFailover, ProcessStart, ProcessToHost } from "../pool/messages.ts";
import { importAgent } from "./import-agent.ts";
import { createInference } from "./inference.ts";
import { RunningJob } from "./job.ts";
import { captureLogs, currentOwner } from "./log.ts";
import { muteUntilAnswered } from "./mute-until-answered.ts";
import { startNativeWithoutLogCapture } from "./native.ts";
import { patchAgentSession } from "./patch-agent-session.ts";
import { poolExportOf } from "./pool-export.ts";
import { emulateJobProcessArgv, resolveFromHere } from "./resolve-modules.ts";
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
/** The slots whose prewarm runs. A slot that is released during its prewarm leaves this set and never becomes warm. */
const warming = new Set<string>();
const send = (message: ProcessToHost): void => {
  if (process.connected) process.send?.(message);
};

// The host is gone, so the process has to end by itself (I10). It leaves its rooms first: LiveKit lists an agent that
// vanished for half a minute, in which no other agent would be sent.
process.on("disconnect", () => {
  setTimeout(() => process.exit(0), 1000);
  const leaving = [...slots.values()].map((slot) => slot.room?.disconnect().catch(() => {}));
  void Promise.all(leaving).then(() => process.exit(0));
});
// If the host died while this process was loading its modules, no "disconnect" follows.
if (!process.connected) process.exit(0);
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => {});

const log = captureLogs(start.logLevel, send);
const nativeProblem = startNativeWithoutLogCapture();
if (nativeProblem !== undefined)
  log.warn({ nativeProblem }, "failed to disable LiveKit's native log capture; joins are slower");
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
    log.error({ error, command: message.type }, "failed to execute a command of the host"),
  );
});

async function load(): Promise<AgentDefinition> {
  try {
    const module = await importAgent(start.file);
    const { requires = [] } = module;
    if (!Array.isArray(requires))
      throw new Error("the requires export is invalid: it must be a list of environment variables.");
    const missing = requires.filter((name) => !process.env[name]);
    if (missing.length > 0) {
      send({ type: "disabled", reason: `${missing.join(" and ")} must be set` });
      return await new Promise<never>(() => {});
    }
    const found = module.default;
    if (!isAgent(found)) {
      throw new Error(
        "the file has no default export made by defineAgent({ prewarm, entry }) of @livekit/agents",
      );
    }
    failover = failoverOf(module);
    send({ type: "loaded", pool: poolExportOf(module) });
    return found;
  } catch (error) {
    const missing = missingPackage(error);
    if (missing !== undefined) {
      send({ type: "disabled", reason: `the package ${missing} is missing; install it with npm` });
    } else {
      // Logged first, because the host kills this process after the message.
      log.error({ error }, "failed to load the agent file");
      send({ type: "load_failed", error: messageOf(error) });
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

/** The name of the package that an import did not find; undefined for any other error. */
function missingPackage(error: unknown): string | undefined {
  const { code } = error as { code?: string };
  if (code !== "ERR_MODULE_NOT_FOUND" && code !== "MODULE_NOT_FOUND") return undefined;
  return /^Cannot find (?:package|module) '((?:@[^/']+\/)?[^@./'][^/']*)/.exec(messageOf(error))?.[1];
}

async function handle(message: HostToProcess): Promise<void> {
  switch (message.type) {
    case "warm":
      return warm(message.slot);
    case "connect_standby":
      return connectStandby(message.slot, message.room, message.token);
    case "run":
      return run(message);
    case "release":
      return release(message.slot, message.reason);
    case "ping":
      send({ type: "pong", memoryMb: Math.round(process.memoryUsage.rss() / 1_048_576) });
  }
}

/** Each slot has a JobProcess of its own, so sessions never share the data that `prewarm` stores there. */
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

async function connectStandby(id: string, roomName: string, token: string): Promise<void> {
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
    await room.disconnect(); // The slot got a session or was released in between.
    return;
  }
  slot.room = room;
  room.once("disconnected", () => {
    if (slot.room !== room || slot.job !== undefined) return;
    slot.room = undefined;
    send({ type: "standby_failed", slot: id, error: "the standby room was closed" });
  });
  send({ type: "hot", slot: id });
}

async function run({ slot: id, job }: Extract<HostToProcess, { type: "run" }>): Promise<void> {
  const slot = slots.get(id);
  if (slot === undefined || slot.job !== undefined) {
    send({
      type: "ended",
      slot: id,
      reason: "the slot does not exist any more",
      lost: false,
      error: { message: "the slot does not exist any more", retryable: true },
    });
    send({ type: "closed", slot: id });
    return;
  }
  const standby = slot.room;
  // A session with a room of its own does not use the standby room, so the agent leaves it.
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
 * Handles an uncaught error. If the error belongs to one session, only that session ends. Otherwise the process may be in
 * any state, so its sessions may finish and the host starts no more in it.
 */
function onStrayError(error: unknown): void {
  const job = currentJob();
  if (job !== undefined) {
    job.fail(error);
    return;
  }
  log.error({ error }, "uncaught error that belongs to no session");
  send({ type: "unhealthy", error: messageOf(error) });
}

/** The job whose entry, room event or timer is running. */
function currentJob(): RunningJob | undefined {
  const owner = currentOwner();
  return owner === undefined ? undefined : slots.get(owner.slot)?.job;
}
