// One attempt without the queue: its session is asked for over NATS, and everything that is stored of it is told.
import { randomBytes } from "node:crypto";
import type { Bus } from "../../libs/bus/bus.ts";
import { connectNatsBus } from "../../libs/bus/nats/nats-bus.ts";
import { launches, sessions } from "../../libs/contracts/buckets.ts";
import { sessionKey } from "../../libs/contracts/ids.ts";
import type { LaunchRecord, ProviderName } from "../../libs/contracts/providers/provider.ts";
import type { SessionRecord } from "../../libs/contracts/sessions/session.ts";
import { sessionEvents } from "../../libs/contracts/streams.ts";
import type { CreateTaskRequest } from "../../libs/contracts/tasks/http.ts";
import { createLog } from "../../libs/runtime/log.ts";
import type { TasksConfig } from "../../services/tasks/config.ts";

const LOOK_MS = 200;
/** Without a record by then nobody takes sessions in. */
const NO_DISPATCHER_MS = 5000;

/** @returns whether the session was completed @throws Error when NATS can't be reached, or the session not asked for */
export async function runDirectly(
  wish: CreateTaskRequest & { readonly provider: ProviderName },
  config: TasksConfig,
  say: (line: string) => void,
): Promise<boolean> {
  const bus = await connectNatsBus({
    url: config.NATS_URL,
    name: "greenroom-task",
    replicas: config.GREENROOM_REPLICAS,
    log: createLog("task", "warn", process.stderr),
    onLost: (error) => {
      console.error(`NATS is lost: ${error}`);
      process.exit(2);
    },
  });
  const tenant = config.GREENROOM_TENANT;
  // No task's name: the tasks service ignores it.
  const sessionId = `direct_${randomBytes(9).toString("hex")}`;
  const end = (reason: string) =>
    bus.streams.publish(sessionEvents, {
      ...address(tenant, sessionId),
      type: "end_requested",
      endedReason: "cancelled",
      reason,
    });
  const hangUp = () => {
    say("Ctrl+C: its end is asked for");
    end("ended by npm run task").catch((error: unknown) => say(`that failed: ${error}`));
  };
  process.on("SIGINT", hangUp);
  try {
    await bus.streams.publish(
      sessionEvents,
      requestOf(wish, tenant, sessionId, config.GREENROOM_TASK_ATTEMPT_MS),
    );
    say(`session ${sessionId} is asked for, over ${wish.provider}`);
    return await follow(bus, tenant, sessionId, say);
  } finally {
    process.off("SIGINT", hangUp);
    await bus.close();
  }
}

const address = (tenant: string, sessionId: string) => ({ tenant, sessionId, at: new Date().toISOString() });

const requestOf = (
  { to, from, profile, provider, metadata }: CreateTaskRequest & { readonly provider: ProviderName },
  tenant: string,
  sessionId: string,
  maxDurationMs: number,
) => ({
  ...address(tenant, sessionId),
  type: "requested" as const,
  profile,
  user: { id: `callee-${sessionId}`, name: to },
  metadata: metadata ?? {},
  requestHash: sessionId,
  ...(provider === "pool" ? {} : { provider }),
  call: { to, ...(from === undefined ? {} : { from }) },
  maxDurationMs,
});

async function follow(
  bus: Bus,
  tenant: string,
  sessionId: string,
  say: (line: string) => void,
): Promise<boolean> {
  const told = new Set<string>();
  const startedAtMs = performance.now();
  for (;;) {
    const session = (await bus.kv.get(sessions, sessionKey({ tenant, sessionId })))?.value;
    const found = await bus.kv.entries(launches, `${tenant}.${sessionId}.*`);
    const lines = [...(session === undefined ? [] : sessionLines(session)), ...found.flatMap(launchLines)];
    if (session === undefined && performance.now() - startedAtMs > NO_DISPATCHER_MS)
      lines.push("nobody has taken it in: is a dispatcher running?");
    for (const line of lines) {
      if (told.has(line)) continue;
      told.add(line);
      say(line);
    }
    if (session?.state === "ended") return session.endedReason === "completed";
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

function sessionLines({ history, endedReason, fault, room }: SessionRecord): string[] {
  const lines = history.map(({ state, attempt, host, reason }) =>
    [
      `session: ${state}, attempt ${attempt}`,
      ...(host === undefined ? [] : [`on ${host}`]),
      ...(reason === undefined ? [] : [`(${reason})`]),
    ].join(" "),
  );
  if (endedReason !== undefined)
    lines.push(`session: ended as ${endedReason}, fault: ${fault}; room ${room}`);
  return lines;
}

function launchLines({ value }: { value: LaunchRecord }): string[] {
  const { attempt, state, provider, externalId, call, reason } = value;
  const of = `launch ${attempt} by ${provider}`;
  return [
    `${of}: ${state}${externalId === undefined ? "" : ` as ${externalId}`}${reason === undefined ? "" : ` (${reason})`}`,
    ...(call === undefined
      ? []
      : [
          `${of}: the call is ${call.status}${call.sipCode === undefined ? "" : `, SIP ${call.sipCode}`}${
            call.answeredBy === undefined ? "" : `, answered by ${call.answeredBy}`
          }${call.providerReason === undefined ? "" : `: ${call.providerReason}`}`,
        ]),
  ];
}
