// Webhook endpoints and the webhooks services that deliver to them, in simulated time.

import { sessions, tasks, webhookEndpoints, webhookQueues } from "../../../libs/contracts/buckets.ts";
import type { SessionRecord } from "../../../libs/contracts/sessions/session.ts";
import { calls } from "../../../libs/contracts/streams.ts";
import { type TaskRecord, taskKey } from "../../../libs/contracts/tasks/task.ts";
import {
  endpointKey,
  type WebhookEndpoint,
  type WebhookEvent,
} from "../../../libs/contracts/webhooks/webhook.ts";
import { buildCall, type EndedSession } from "../../../libs/domain/call/build-call.ts";
import { silentLog } from "../../../libs/runtime/log.ts";
import type { Send } from "../../../services/webhooks/deliver.ts";
import type { Posted } from "../../../services/webhooks/post.ts";
import { startWebhooks } from "../../../services/webhooks/webhooks.ts";
import { AT } from "../fixtures/sessions.ts";
import type { world } from "./memory-world.ts";

export const SECRET = `whsec_${Buffer.from("a key of two and thirty letters!").toString("base64")}`;
export type World = ReturnType<typeof world>;

export const anEndpoint = (id: string, changed: Partial<WebhookEndpoint> = {}): WebhookEndpoint => ({
  v: 1,
  tenant: "t",
  id,
  url: `https://${id}.example/hook`,
  secret: SECRET,
  events: ["*"],
  generation: 1,
  createdAt: AT,
  writeId: "op",
  ...changed,
});

/** One delivery that an endpoint received. */
export interface Received {
  readonly to: string;
  readonly event: WebhookEvent;
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly atMs: number;
  readonly by: string;
}

/** Creates endpoints that answer with `answers`. A test starts the webhooks services. */
export async function webhookWorld(
  { clock, connect, outcome }: World,
  answers: (received: Received) => Posted | Promise<Posted> = () => ({ status: 204 }),
) {
  const received: Received[] = [];
  const bus = connect("test");
  /** Retries the test's own calls, which the simulated faults hit too. */
  const insist = async <T>(work: () => Promise<T>): Promise<T> => {
    for (;;) {
      try {
        return await outcome(work());
      } catch {
        await clock.advance(50);
      }
    }
  };
  const sendBy =
    (by: string): Send =>
    async (url, body, headers) => {
      const one = {
        to: url.slice(8).split(".")[0] ?? "",
        event: JSON.parse(body),
        body,
        headers,
        atMs: clock.monotonic(),
        by,
      };
      received.push(one);
      return answers(one);
    };
  const webhooks = async (name: string) => {
    const own = connect(name);
    let op = 0;
    let starts = 0;
    const running = await insist(() =>
      startWebhooks({
        bus: own,
        clock,
        log: silentLog,
        // A failed start may have left something behind under its name, so the next one gets another name.
        instance: starts++ === 0 ? name : `${name}-${starts}`,
        send: sendBy(name),
        nextWriteId: () => `${name}-${++op}`,
      }),
    );
    return { bus: own, stop: () => outcome(running.stop()) };
  };
  return {
    bus,
    received,
    receivedBy: (to: string) =>
      received.filter((one) => one.to === to).map(({ event }) => `${event.sequence} ${event.type}`),
    webhooks,
    register: (endpoint: WebhookEndpoint) => insist(() => bus.kv.update(webhookEndpoints, endpoint, 0)),
    queue: async (id: string) => (await outcome(bus.kv.get(webhookQueues, endpointKey("t", id))))?.value,
    save: (record: SessionRecord) =>
      insist(async () => {
        const stored = await bus.kv.get(sessions, `${record.tenant}.${record.sessionId}`);
        await bus.kv.update(sessions, record, stored?.revision ?? 0);
      }),
    saveTask: (record: TaskRecord) =>
      insist(async () => {
        const stored = await bus.kv.get(tasks, taskKey(record.tenant, record.taskId));
        await bus.kv.update(tasks, record, stored?.revision ?? 0);
      }),
    record: (ended: EndedSession) => insist(() => bus.streams.publish(calls, buildCall(ended, [], []))),
  };
}
