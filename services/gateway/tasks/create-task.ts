// Creates a task: validates it and stores the request.
import { tasks } from "../../../libs/contracts/buckets.ts";
import { GreenroomError } from "../../../libs/contracts/errors.ts";
import { isExternal } from "../../../libs/contracts/providers/provider.ts";
import { providerOf } from "../../../libs/contracts/providers/provider-rules.ts";
import { taskRequests } from "../../../libs/contracts/streams.ts";
import type { CreateTaskRequest } from "../../../libs/contracts/tasks/http.ts";
import { SCHEDULE_AHEAD_DAYS_MAX, type TaskRequest, taskKey } from "../../../libs/contracts/tasks/task.ts";
import { requestHashOf } from "../../../libs/domain/task/reduce.ts";
import { taskIdOfKey } from "../../../libs/domain/task/task-ids.ts";
import type { Gateway } from "../context.ts";
import { knownProfiles } from "../sessions/profiles.ts";
import { randomToken } from "../sessions/session-ids.ts";

const DAY_MS = 24 * 60 * 60 * 1000;

export interface CreatedTask {
  readonly taskId: string;
  /** True if an earlier request with the same key created the task. */
  readonly replayed: boolean;
}

/**
 * Creates a task. When the promise resolves, the stream has acknowledged the request: the task exists.
 * @throws GreenroomError invalid_request, unknown_profile, idempotency_conflict, storage_full, storage_unavailable
 */
export async function createTask(
  gateway: Gateway,
  body: CreateTaskRequest,
  headerKey?: string | undefined,
): Promise<CreatedTask> {
  const { idempotencyKey: bodyKey, ...input } = body;
  if (headerKey !== undefined && bodyKey !== undefined && headerKey !== bodyKey)
    throw new GreenroomError(
      "invalid_request",
      "body.idempotencyKey: differs from the header Idempotency-Key.",
    );
  const key = headerKey ?? bodyKey;
  const taskId = key === undefined ? `t_${randomToken()}` : taskIdOfKey(gateway.tenant, key);
  const request: TaskRequest = { tenant: gateway.tenant, taskId, ...input };
  if (key !== undefined && (await wasCreated(gateway, request))) return { taskId, replayed: true };
  refuseFarAhead(gateway, input);
  refuseUnknownProfile(gateway, input);
  const { duplicate } = await gateway.bus.streams.publish(taskRequests, request);
  // Of two concurrent requests with one key the stream keeps the first, whose contents count.
  if (duplicate) refuseOtherContents(await findTaskRequest(gateway, taskId), request);
  return { taskId, replayed: duplicate };
}

/** The stored request of a task that may not have a record yet. */
export async function findTaskRequest(gateway: Gateway, taskId: string): Promise<TaskRequest | undefined> {
  const subject = `tasks.outbound.${gateway.tenant}.${taskId}`;
  const [first] = await gateway.bus.streams.read(taskRequests, { subject, limit: 1, order: "newest-first" });
  return first?.message;
}

async function wasCreated(gateway: Gateway, request: TaskRequest): Promise<boolean> {
  const { tenant, taskId = "" } = request;
  const entry = await gateway.bus.kv.get(tasks, taskKey(tenant, taskId));
  if (entry !== undefined && entry.value.requestHash !== requestHashOf(request)) throw otherContents();
  return entry !== undefined;
}

function refuseOtherContents(first: TaskRequest | undefined, now: TaskRequest): void {
  if (first !== undefined && requestHashOf(first) !== requestHashOf(now)) throw otherContents();
}

const otherContents = () =>
  new GreenroomError(
    "idempotency_conflict",
    "The Idempotency-Key was already used with a different task. Repeat that request exactly, or use a new key.",
  );

function refuseFarAhead({ clock }: Gateway, { scheduleAt }: CreateTaskRequest): void {
  if (scheduleAt === undefined) return;
  if (Date.parse(scheduleAt) - clock.now() <= SCHEDULE_AHEAD_DAYS_MAX * DAY_MS) return;
  throw new GreenroomError(
    "invalid_request",
    `body.scheduleAt: more than ${SCHEDULE_AHEAD_DAYS_MAX} days ahead.`,
  );
}

/** Checks the profile against the present hosts. Without any host, the task waits for one. */
function refuseUnknownProfile(gateway: Gateway, { profile, provider }: CreateTaskRequest): void {
  const known = knownProfiles(gateway.hosts.all());
  if (known.length === 0 || known.includes(profile)) return;
  if (isExternal(providerOf(gateway.config.GREENROOM_PROVIDERS, profile, provider))) return;
  throw new GreenroomError(
    "unknown_profile",
    `No host has an agent file "${profile}", and no provider is named for it. Known: ${known.join(", ")}.`,
  );
}
