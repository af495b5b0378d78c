// Assigns each endpoint to one delivering instance at a time, by a lease on the endpoint's queue.
import { type BucketView, watchBucket } from "../../libs/bus/bucket-view.ts";
import type { Stop } from "../../libs/bus/bus.ts";
import { Lease, type LeaseRules, mayAcquire } from "../../libs/bus/lease.ts";
import { webhookEndpoints, webhookQueues } from "../../libs/contracts/buckets.ts";
import { webhooks, webhooksQueued } from "../../libs/contracts/streams.ts";
import {
  endpointKey,
  isDisabled,
  type WebhookEndpoint,
  type WebhookQueue,
} from "../../libs/contracts/webhooks/webhook.ts";
import { repeat } from "../../libs/runtime/clock.ts";
import { QUEUE_HEARTBEAT_MS, QueueRunner, type QueueRunnerDeps } from "./queue-runner.ts";

export type QueueOwnerDeps = QueueRunnerDeps;

const TICK_MS = 1000;
/** The owner of a queue that was not written for three heartbeats is dead. */
const DEAD_AFTER_MS = 3.5 * QUEUE_HEARTBEAT_MS;
/** How often the stream is read for a queue that seems to be empty. */
const READ_MS = 30_000;

export class QueueOwner {
  readonly #deps: QueueOwnerDeps;
  readonly #endpoints: BucketView<WebhookEndpoint>;
  readonly #queues: BucketView<WebhookQueue>;
  readonly #readAtMs = new Map<string, number>();
  readonly #runs = new Map<string, { runner: QueueRunner; ended: Promise<void> }>();
  readonly #acquiring = new Set<string>();
  readonly #stops: (Stop | (() => void))[];
  #isStopping = false;

  private constructor(
    deps: QueueOwnerDeps,
    endpoints: BucketView<WebhookEndpoint>,
    queues: BucketView<WebhookQueue>,
  ) {
    this.#deps = deps;
    this.#endpoints = endpoints;
    this.#queues = queues;
    this.#stops = [
      endpoints.onChange(({ key }) => this.#runs.get(key)?.runner.wake()),
      endpoints.stop,
      queues.stop,
      repeat(
        deps.clock,
        TICK_MS,
        () => this.#lookForWork(),
        (error) => deps.log.warn({ error, retrying: true }, "failed to look for webhooks to deliver"),
      ),
    ];
  }

  /** Returns once all registered endpoints are known. */
  static async start(deps: QueueOwnerDeps): Promise<QueueOwner> {
    const { bus, clock } = deps;
    const endpoints = await watchBucket(bus, webhookEndpoints, clock);
    const owner = new QueueOwner(deps, endpoints, await watchBucket(bus, webhookQueues, clock));
    owner.#stops.push(
      await bus.core.subscribe(webhooksQueued, ({ tenant, endpoint, removed }) =>
        owner.#hint(endpointKey(tenant, endpoint), false, removed),
      ),
    );
    return owner;
  }

  /** The endpoints of a tenant that are not disabled. */
  endpointsOf(tenant: string): WebhookEndpoint[] {
    return this.#endpoints
      .all()
      .flatMap(({ key, record }) => (record.tenant === tenant && this.#mayRun(key) ? [record] : []));
  }

  /** A message was stored for this endpoint. */
  queued({ tenant, id }: WebhookEndpoint): void {
    this.#hint(endpointKey(tenant, id), true);
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    for (const stop of this.#stops) await stop();
    for (const { runner } of this.#runs.values()) runner.stop();
    await Promise.all([...this.#runs.values()].map(({ ended }) => ended));
  }

  /** @param mayNotify whether to notify the owner, if that is another instance */
  #hint(key: string, mayNotify: boolean, removed?: true): void {
    const run = this.#runs.get(key);
    const endpoint = this.#endpoints.get(key)?.record;
    if (run !== undefined) run.runner.wake(removed);
    else if (endpoint === undefined || this.#isStopping) return;
    else if (this.#mayAcquire(key)) this.#tryToAcquire(key);
    else if (mayNotify) {
      const { tenant, id } = endpoint;
      this.#deps.bus.core.publishTransient(webhooksQueued, { tenant, endpoint: id });
    }
  }

  async #lookForWork(): Promise<void> {
    for (const { key } of this.#endpoints.all()) {
      if (this.#runs.has(key) || !this.#mayAcquire(key) || !this.#mayRun(key)) continue;
      const queue = this.#queues.get(key)?.record;
      // A queue that still has an owner was abandoned.
      const isWaiting = queue !== undefined && (queue.lanes.length > 0 || queue.owner !== undefined);
      if (isWaiting || (await this.#isAnythingNew(key))) this.#tryToAcquire(key);
    }
    for (const { key, record, revision } of this.#queues.all()) {
      if (this.#endpoints.get(key) !== undefined || this.#runs.has(key)) continue;
      // The gateway purged the endpoint's messages when it removed the endpoint. A few may have been stored since.
      await this.#deps.bus.admin.purge(webhooks, `webhook.${record.tenant}.${record.endpoint}.>`);
      await this.#deps.bus.kv.delete(webhookQueues, key, revision);
    }
  }

  #mayRun(key: string): boolean {
    const endpoint = this.#endpoints.get(key)?.record;
    return endpoint !== undefined && !isDisabled(endpoint, this.#queues.get(key)?.record);
  }

  #mayAcquire(key: string): boolean {
    const { clock, instance } = this.#deps;
    const seen = this.#queues.get(key);
    return (
      seen === undefined ||
      mayAcquire(seen.record.owner, instance, clock.monotonic() - seen.seenAtMs, DEAD_AFTER_MS)
    );
  }

  async #isAnythingNew(key: string): Promise<boolean> {
    const { bus, clock } = this.#deps;
    const nowMs = clock.monotonic();
    const readAtMs = this.#readAtMs.get(key);
    if (readAtMs !== undefined && nowMs - readAtMs < READ_MS) return false;
    this.#readAtMs.set(key, nowMs);
    const after = this.#queues.get(key)?.record.cursor ?? 0;
    const { tenant, id } = (this.#endpoints.get(key) as { record: WebhookEndpoint }).record;
    const subject = `webhook.${tenant}.${id}.>`;
    return (await bus.streams.read(webhooks, { subject, from: after + 1, limit: 1 })).length > 0;
  }

  #tryToAcquire(key: string): void {
    if (this.#acquiring.has(key) || this.#runs.has(key) || this.#isStopping || !this.#mayRun(key)) return;
    this.#acquiring.add(key);
    this.#acquire(key)
      .catch((error: unknown) => this.#deps.log.debug({ error, key }, "failed to acquire a webhook's queue"))
      .finally(() => this.#acquiring.delete(key));
  }

  async #acquire(key: string): Promise<void> {
    const { bus, clock, instance, nextWriteId } = this.#deps;
    const endpoint = this.#endpoints.get(key)?.record;
    if (endpoint === undefined) return;
    const entry = await bus.kv.get(webhookQueues, key);
    const before = entry?.value ?? emptyQueue(endpoint);
    if (isDisabled(endpoint, before)) return;
    const rules: LeaseRules<WebhookQueue> = {
      ...{ bus, clock, bucket: webhookQueues },
      stamp: (queue) => ({ ...queue, heartbeat: queue.heartbeat + 1, writeId: nextWriteId() }),
      isOwn: ({ owner }) => owner === instance,
    };
    const queue = rules.stamp({
      ...(before.disabled === undefined ? before : enabledAgain(before)),
      owner: instance,
    });
    const lease = await Lease.acquire(rules, queue, entry?.revision ?? 0);
    if (lease === undefined || this.#isStopping) return;
    const runner = new QueueRunner(this.#deps, () => this.#endpoints.get(key)?.record, lease);
    const ended = runner.run().finally(() => {
      this.#runs.delete(key);
      // A message that was stored during the release is found by reading again.
      this.#readAtMs.delete(key);
    });
    this.#runs.set(key, { runner, ended });
  }
}

const emptyQueue = ({ tenant, id }: WebhookEndpoint): WebhookQueue => ({
  v: 1,
  tenant,
  endpoint: id,
  cursor: 0,
  lanes: [],
  failures: 0,
  delivered: 0,
  heartbeat: 0,
  writeId: "",
});

/** The operator has enabled the endpoint again: failures no longer count, and every message is due. */
function enabledAgain({ disabled: _, ...queue }: WebhookQueue): WebhookQueue {
  return {
    ...queue,
    failures: 0,
    lanes: queue.lanes.map(({ key, sequences }) => ({ key, sequences, tries: 0, dueInMs: 0 })),
  };
}
