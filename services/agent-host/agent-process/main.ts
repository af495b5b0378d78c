// The agent process: a child process of a host that runs several agents of one profile.
import { JobProcess } from "@livekit/agents";
import { messageOf } from "../../../libs/contracts/errors.ts";
import { startLagMeter } from "../../../libs/runtime/event-loop-lag.ts";
import { redactTokens } from "../../../libs/runtime/redact-tokens.ts";
import { mapStackTraces } from "../../../libs/runtime/stack-traces.ts";
import type { HostToProcess, ProcessStart, ProcessToHost, Sources } from "../pool/messages.ts";
import { askRequestFunc } from "./ask-request-func.ts";
import { ExitError, exitOnlyJobs } from "./exit-only-jobs.ts";
import { createInference } from "./inference.ts";
import { RunningJob } from "./job.ts";
import { protoOf } from "./job-context.ts";
import { endIntervalsWithJobs } from "./job-intervals.ts";
import { fingerprintOf } from "./loading/fingerprint.ts";
import { prepareForSources, sourcesOf } from "./loading/kept-sources.ts";
import {
  type AgentCopy,
  DisabledError,
  type LoadedAgent,
  loadAgent,
  loadCopy,
  NoAgentError,
} from "./loading/load-agent.ts";
import { loadProjectEnv } from "./loading/project-env.ts";
import { emulateJobProcessArgv, resolveFromHere } from "./loading/resolve-modules.ts";
import { replaceExports } from "./loading/run-app.ts";
import { captureLogs, currentOwner } from "./log.ts";
import { muteUntilAnswered } from "./mute-until-answered.ts";
import { startNativeWithoutLogCapture } from "./native.ts";
import { type OwnParticipant, ownParticipant, showName } from "./participant.ts";
import { patchAgentSession } from "./patch-agent-session.ts";
import { requireInferenceCredentials } from "./require-inference-credentials.ts";
import { isRetryable } from "./retryable.ts";
import { JobRoom, STANDBY_OPTIONS } from "./room.ts";
import { SimulatedRoom } from "./simulated-room.ts";

interface Slot {
  readonly copy: AgentCopy;
  readonly proc: JobProcess;
  room: JobRoom | undefined;
  /** True once the host has sent a job, which begins after the file's requestFunc has accepted it. */
  isTaken: boolean;
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
emulateJobProcessArgv(start.file);
const project = process.cwd();
for (const { file, error } of loadProjectEnv(project))
  log.warn({ file, error }, "failed to read a file of environment variables");
const loadFrom = start.reportsSources === true ? await prepareForSources() : undefined;
if (start.loadsOldCode === true) await loadFrom?.(await oldSources());
const projectModules = resolveFromHere(replaceExports(requireInferenceCredentials(start.livekitUrl)));
patchAgentSession(currentJob);
muteUntilAnswered(currentJob);
const inference = createInference();
const loaded = await load();
const agentName = loaded.agentName ?? start.profile;
/** The number of times that the file was evaluated. */
let copies = 1;
let lastCopy: Promise<unknown> = Promise.resolve();
/** The first evaluation serves the first slot. */
let firstCopy: AgentCopy | undefined = loaded;
exitOnlyJobs(currentOwner, currentJob);
endIntervalsWithJobs(currentJob);
/** A process that serves one session ends with it. The meter would only wake the idle ones. */
const lagMeter = loaded.isolation === "process" ? undefined : startLagMeter();

process.on("uncaughtException", (error) => onStrayError(error));
process.on("unhandledRejection", (error) => onUnhandledRejection(error));
process.on("message", (message: HostToProcess) => {
  handle(message).catch((error: unknown) =>
    log.error({ error, command: message.type }, "failed to execute a command of the host"),
  );
});

async function load(): Promise<LoadedAgent> {
  try {
    const loaded = await loadAgent(start, (fields, message) => log.warn(fields, message));
    const { agentName, isolation, pool } = loaded;
    const modules = [start.file, ...projectModules()];
    const version = start.version ?? (await fingerprintOf(project, modules));
    const sources = loadFrom === undefined ? undefined : await sourcesOf(modules);
    // Later copies of the file are of the same code as the first one.
    if (isolation === "module" && sources !== undefined) await loadFrom?.(sources);
    send({
      type: "loaded",
      pool,
      isolation,
      ...(agentName === undefined ? {} : { agentName }),
      ...(version === undefined ? {} : { version }),
      ...(sources === undefined ? {} : { sources }),
    });
    return loaded;
  } catch (error) {
    if (error instanceof NoAgentError) send({ type: "no_agent", reason: error.message });
    else if (error instanceof DisabledError || !isRetryable(error))
      send({ type: "disabled", reason: messageOf(error) });
    else {
      // Logged first, because the host kills this process after the message.
      log.error({ error }, "failed to load the agent file");
      send({ type: "load_failed", error: messageOf(error) });
    }
    return await new Promise<never>(() => {});
  }
}

/** The first message of the host. */
function oldSources(): Promise<Sources> {
  return new Promise((resolve) => {
    const receive = (message: HostToProcess): void => {
      if (message.type !== "sources") return;
      process.off("message", receive);
      resolve(message.sources);
    };
    process.on("message", receive);
  });
}

async function handle(message: HostToProcess): Promise<void> {
  switch (message.type) {
    case "warm":
      return warm(message.slot);
    case "connect_standby":
      return connectStandby(message);
    case "run":
      return run(message);
    case "release":
      return release(message.slot, message.reason, message.sessionGoesOn);
    case "exit":
      process.exit(0);
      break;
    case "ping":
      send({
        type: "pong",
        memoryMb: Math.round(process.memoryUsage.rss() / 1_048_576),
        lagMs: lagMeter?.read().maxMs ?? 0,
      });
  }
}

/** Each slot has a JobProcess of its own, so sessions never share the data that `prewarm` stores there. */
async function warm(id: string): Promise<void> {
  const began = performance.now();
  const proc = new JobProcess();
  let copy: AgentCopy;
  warming.add(id);
  try {
    copy = await copyForSlot();
    await copy.agent.prewarm?.(proc);
  } catch (error) {
    warming.delete(id);
    log.error({ error, slot: id }, "prewarm failed");
    send({ type: "warm_failed", slot: id, error: messageOf(error), retryable: isRetryable(error) });
    return;
  }
  if (!warming.delete(id)) return;
  slots.set(id, { copy, proc, room: undefined, isTaken: false, job: undefined });
  send({ type: "warm", slot: id, tookMs: performance.now() - began });
}

/** With module isolation, each slot has an evaluation of the file of its own. */
async function copyForSlot(): Promise<AgentCopy> {
  if (loaded.isolation !== "module") return loaded;
  const unused = firstCopy;
  firstCopy = undefined;
  if (unused !== undefined) return unused;
  copies += 1;
  const copy = copies;
  // One after another, because CommonJS modules of two evaluations would be mixed up.
  const next = lastCopy.catch(() => {}).then(() => loadCopy(loaded.file, copy));
  lastCopy = next;
  return await next;
}

type Standby = Extract<HostToProcess, { type: "connect_standby" }>;

async function connectStandby({ slot: id, room: name, token, liveKitRoom }: Standby): Promise<void> {
  const slot = slots.get(id);
  if (slot === undefined || slot.isTaken) return;
  const room = newRoom(name, id);
  room.described = liveKitRoom;
  try {
    await room.connect(start.livekitUrl, token, STANDBY_OPTIONS);
  } catch (error) {
    send({ type: "standby_failed", slot: id, error: redactTokens(messageOf(error)) });
    return;
  }
  if (slot.isTaken || slots.get(id) !== slot) {
    await room.disconnect(); // The slot got a session or was released in between.
    return;
  }
  showName(room.localParticipant, agentName).catch(() => {}); // The job tries again.
  slot.room = room;
  room.once("disconnected", () => {
    if (slot.room !== room || slot.isTaken) return;
    slot.room = undefined;
    send({ type: "standby_failed", slot: id, error: "the standby room was closed" });
  });
  send({ type: "hot", slot: id });
}

async function run({ slot: id, job }: Extract<HostToProcess, { type: "run" }>): Promise<void> {
  const slot = slots.get(id);
  if (slot === undefined || slot.isTaken) {
    sendFailed(id, "the slot does not exist any more", true);
    send({ type: "closed", slot: id });
    return;
  }
  slot.isTaken = true;
  const standby = slot.room;
  // A session with a room of its own does not use the standby room, so the agent leaves it.
  let room =
    job.room === undefined && standby !== undefined ? standby : newRoom(job.room ?? "", job.identity);
  if (room !== standby) standby?.disconnect().catch(() => {});
  slot.room = room;
  room.described ??= job.liveKitRoom;
  const proto = protoOf(start, job, agentName, room);
  const answer = await askRequestFunc(slot.copy.requestFunc, proto);
  if (slots.get(id) !== slot) return; // The host has released the slot.
  if ("refused" in answer) {
    log.info({ slot: id, sessionId: job.sessionId }, answer.refused);
    send({ type: "declined", slot: id, reason: answer.refused });
    await release(id, answer.refused);
    return;
  }
  let own: OwnParticipant | undefined;
  try {
    own = await ownParticipant(start, job, proto.room?.name ?? "", agentName, answer.accepted);
  } catch (error) {
    const reason = `the file's requestFunc accepted the job with invalid arguments: ${messageOf(error)}`;
    log.error({ error, slot: id, sessionId: job.sessionId }, "failed to make the agent's participant");
    sendFailed(id, reason, false);
    await release(id, reason);
    return;
  }
  if (slots.get(id) !== slot) return;
  if (own !== undefined && room === standby) {
    // The standby participant has another identity. The file joins with its own, in a room that is not connected yet.
    room = newRoom(proto.room?.name ?? "", own.identity);
    slot.room = room;
    await standby.disconnect().catch(() => {});
    if (slots.get(id) !== slot) return;
    send({ type: "reconnected", slot: id });
  }
  slot.job = new RunningJob({
    slot: id,
    agent: slot.copy.agent,
    proc: slot.proc,
    room,
    start,
    failover: loaded.failover,
    job,
    proto,
    accepted: answer.accepted,
    identity: own?.identity ?? room.localParticipant?.identity ?? job.identity,
    token: own?.token ?? job.token ?? room.token ?? "",
    inference: inference.executor,
    send,
    readiness: loaded.readiness,
    warn: (error, message) => log.warn({ error, slot: id, sessionId: job.sessionId }, message),
  });
  await slot.job.run();
  slots.delete(id);
}

/** Reports that the job of a slot could not begin. */
function sendFailed(slot: string, message: string, retryable: boolean): void {
  send({ type: "ended", slot, reason: message, lost: false, error: { message, retryable } });
}

async function release(id: string, reason: string, sessionGoesOn = false): Promise<void> {
  const slot = slots.get(id);
  if (slot?.job !== undefined) {
    slot.job.release(reason, sessionGoesOn);
    return;
  }
  warming.delete(id);
  slots.delete(id);
  await slot?.room?.disconnect().catch(() => {});
  send({ type: "closed", slot: id });
}

const newRoom = (name: string, identity: string): JobRoom =>
  start.simulated ? new SimulatedRoom(name, identity) : new JobRoom();

/** LiveKit's own worker logs such a rejection, and the call goes on. */
function onUnhandledRejection(error: unknown): void {
  if (error instanceof ExitError) return;
  if (start.unhandledRejections === "fail") {
    onStrayError(error);
    return;
  }
  // pino leaves out what is undefined.
  log.error(
    { error: error ?? "no reason", ...currentOwner() },
    "unhandled promise rejection; the agent continues",
  );
  send({ type: "unhandled_rejection" });
}

/**
 * Handles an uncaught error. If the error belongs to one session, only that session ends. Otherwise the process may be in
 * any state, so its sessions may finish and the host starts no more in it.
 */
function onStrayError(error: unknown): void {
  if (error instanceof ExitError) return;
  const job = currentJob();
  if (job !== undefined) {
    job.fail(error);
    return;
  }
  const owner = currentOwner();
  if (owner !== undefined) {
    log.error({ error, ...owner }, "uncaught error of a session that is over");
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
