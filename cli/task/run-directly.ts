// Makes one attempt without the queue: requests its session over NATS, and prints everything that is stored about it.
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

const POLL_MS = 200;
/** Without a record after this time, no dispatcher is running. */
const NO_DISPATCHER_MS = 5000;

/** @returns whether the session completed @throws Error if NATS can't be reached or the request can't be stored */
export async function runDirectly(
  request: CreateTaskRequest & { readonly provider: ProviderName },
  config: TasksConfig,
  print: (line: string) => void,
): Promise<boolean> {
  const bus = await connectNatsBus({
    url: config.NATS_URL,
    name: "greenroom-task",
    replicas: config.GREENROOM_REPLICAS,
    log: createLog("task", "warn", process.stderr),
    onLost: (error) => {
      console.error(`lost the connection to NATS: ${error}`);
      process.exit(2);
    },
  });
  const tenant = config.GREENROOM_TENANT;
  // Not derived from a task, so the tasks service ignores the session.
  const sessionId = `direct_${randomBytes(9).toString("hex")}`;
  const end = (reason: string) =>
    bus.streams.publish(sessionEvents, {
      ...address(tenant, sessionId),
      type: "end_requested",
      endedReason: "cancelled",
      reason,
    });
  const hangUp = () => {
    print("Ctrl+C: ending the session");
    end("ended by npm run task").catch((error: unknown) => print(`failed to end the session: ${error}`));
  };
  process.on("SIGINT", hangUp);
  try {
    await bus.streams.publish(
      sessionEvents,
      requestOf(request, tenant, sessionId, config.GREENROOM_TASK_ATTEMPT_MS),
    );
    print(`requested session ${sessionId} with the provider ${request.provider}`);
    return await follow(bus, tenant, sessionId, print);
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
  print: (line: string) => void,
): Promise<boolean> {
  const printed = new Set<string>();
  const startedAtMs = performance.now();
  for (;;) {
    const session = (await bus.kv.get(sessions, sessionKey({ tenant, sessionId })))?.value;
    const found = await bus.kv.entries(launches, `${tenant}.${sessionId}.*`);
    const lines = [...(session === undefined ? [] : sessionLines(session)), ...found.flatMap(launchLines)];
    if (session === undefined && performance.now() - startedAtMs > NO_DISPATCHER_MS)
      lines.push("no record yet: is a dispatcher running?");
    for (const line of lines) {
      if (printed.has(line)) continue;
      printed.add(line);
      print(line);
    }
    if (session?.state === "ended") return session.endedReason === "completed";
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
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
