// The queues of all webhooks: which instance delivers for which endpoint, so that exactly one does at a time.
import type { Stop } from "../../libs/bus/bus.ts";
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
/** An owner that has not written for three of its beats is taken for gone. */
const TAKE_OVER_MS = 3.5 * QUEUE_HEARTBEAT_MS;
/** How often a queue in which nothing is known to wait is looked at all the same. */
const LOOK_MS = 30_000;

interface Known {
  readonly queue: WebhookQueue;
  readonly revision: number;
  /** When this process first saw this revision, on its monotonic clock. */
  readonly seenAtMs: number;
}

export class QueueOwner {
  readonly #deps: QueueOwnerDeps;
  readonly #endpoints = new Map<string, WebhookEndpoint>();
  readonly #queues = new Map<string, Known>();
  readonly #lookedAtMs = new Map<string, number>();
  readonly #runs = new Map<string, { run: QueueRunner; ended: Promise<void> }>();
  readonly #busy = new Set<string>();
  readonly #stops: (Stop | (() => void))[] = [];
  #isStopping = false;

  constructor(deps: QueueOwnerDeps) {
    this.#deps = deps;
  }

  async start(): Promise<void> {
    const { bus, clock, log } = this.#deps;
    this.#stops.push(
      await bus.kv.watch(webhookEndpoints, ({ key, value }) => {
        if (value === undefined) this.#endpoints.delete(key);
        else this.#endpoints.set(key, value);
        this.#runs.get(key)?.run.wake();
      }),
      await bus.kv.watch(webhookQueues, ({ key, value, revision }) => {
        if (value === undefined) this.#queues.delete(key);
        else this.#queues.set(key, { queue: value, revision, seenAtMs: clock.monotonic() });
      }),
      await bus.core.subscribe(webhooksQueued, ({ tenant, endpoint, removed }) =>
        this.#hint(endpointKey(tenant, endpoint), false, removed),
      ),
      repeat(
        clock,
        TICK_MS,
        () => this.#lookAround(),
        (error) => log.warn({ error }, "looking after the webhooks failed; it is tried again"),
      ),
    );
  }

  /** The endpoints of a tenant that are told anything at all. */
  endpointsOf(tenant: string): WebhookEndpoint[] {
    return [...this.#endpoints.entries()].flatMap(([key, endpoint]) =>
      endpoint.tenant === tenant && !isDisabled(endpoint, this.#queues.get(key)?.queue) ? [endpoint] : [],
    );
  }

  /** Something was stored for this endpoint. */
  queued({ tenant, id }: WebhookEndpoint): void {
    this.#hint(endpointKey(tenant, id), true);
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    for (const stop of this.#stops) await stop();
    for (const { run } of this.#runs.values()) run.stop();
    await Promise.all([...this.#runs.values()].map(({ ended }) => ended));
  }

  /** @param mayTell whether who holds it elsewhere is to be told */
  #hint(key: string, mayTell: boolean, removed?: true): void {
    const held = this.#runs.get(key);
    const endpoint = this.#endpoints.get(key);
    if (held !== undefined) held.run.wake(removed);
    else if (endpoint === undefined || this.#isStopping) return;
    else if (this.#isHeldElsewhere(key)) {
      if (mayTell)
        this.#deps.bus.core.publishTransient(webhooksQueued, {
          tenant: endpoint.tenant,
          endpoint: endpoint.id,
        });
    } else this.#tryToTake(key);
  }

  async #lookAround(): Promise<void> {
    for (const key of this.#endpoints.keys()) {
      if (this.#runs.has(key) || this.#isHeldElsewhere(key) || !this.#mayRun(key)) continue;
      const waits = (this.#queues.get(key)?.queue.lanes.length ?? 0) > 0 || this.#isAbandoned(key);
      if (waits || (await this.#isAnythingNew(key))) this.#tryToTake(key);
    }
    for (const [key, { queue, revision }] of this.#queues) {
      if (this.#endpoints.has(key) || this.#runs.has(key)) continue;
      // Its gateway removed what waited; this is what was stored at that very moment.
      await this.#deps.bus.admin.purge(webhooks, `webhook.${queue.tenant}.${queue.endpoint}.>`);
      await this.#deps.bus.kv.delete(webhookQueues, key, revision);
    }
  }

  #mayRun(key: string): boolean {
    const endpoint = this.#endpoints.get(key);
    return endpoint !== undefined && !isDisabled(endpoint, this.#queues.get(key)?.queue);
  }

  #isHeldElsewhere(key: string): boolean {
    const known = this.#queues.get(key);
    if (known?.queue.owner === undefined || known.queue.owner === this.#deps.instance) return false;
    return this.#deps.clock.monotonic() - known.seenAtMs < TAKE_OVER_MS;
  }

  /** It has an owner, and that one is gone. */
  #isAbandoned(key: string): boolean {
    return this.#queues.get(key)?.queue.owner !== undefined;
  }

  /** The first look at each comes at a random moment, so that several instances do not all look at once. */
  async #isAnythingNew(key: string): Promise<boolean> {
    const { bus, clock } = this.#deps;
    const endpoint = this.#endpoints.get(key) as WebhookEndpoint;
    const nowMs = clock.monotonic();
    const lookedAtMs = this.#lookedAtMs.get(key);
    if (lookedAtMs !== undefined && nowMs - lookedAtMs < LOOK_MS) return false;
    this.#lookedAtMs.set(key, nowMs);
    const after = this.#queues.get(key)?.queue.cursor ?? 0;
    const subject = `webhook.${endpoint.tenant}.${endpoint.id}.>`;
    return (await bus.streams.read(webhooks, { subject, from: after + 1, limit: 1 })).length > 0;
  }

  #tryToTake(key: string): void {
    if (this.#busy.has(key) || this.#runs.has(key) || this.#isStopping || !this.#mayRun(key)) return;
    this.#busy.add(key);
    this.#take(key)
      .catch((error: unknown) => this.#deps.log.debug({ error, key }, "a webhook's queue could not be taken"))
      .finally(() => this.#busy.delete(key));
  }

  /** Writes itself into the queue by compare-and-set: of two that try only one delivers. */
  async #take(key: string): Promise<void> {
    const { bus, instance, nextWriteId } = this.#deps;
    const endpoint = this.#endpoints.get(key);
    if (endpoint === undefined) return;
    const entry = await bus.kv.get(webhookQueues, key);
    const before = entry?.value ?? emptyQueue(endpoint);
    if (isDisabled(endpoint, before)) return;
    const queue: WebhookQueue = {
      ...(before.disabled === undefined ? before : enabledAgain(before)),
      owner: instance,
      heartbeat: before.heartbeat + 1,
      writeId: nextWriteId(),
    };
    const revision = await bus.kv.update(webhookQueues, queue, entry?.revision ?? 0);
    if (revision === undefined || this.#isStopping) return;
    const run = new QueueRunner(this.#deps, () => this.#endpoints.get(key), { queue, revision });
    const ended = run.run().finally(() => {
      this.#runs.delete(key);
      // What was stored while it was given back is found by looking once more.
      this.#lookedAtMs.delete(key);
    });
    this.#runs.set(key, { run, ended });
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

/** A person says that it works again: what it was given up for counts no more, and all that waits is due. */
function enabledAgain({ disabled: _, ...queue }: WebhookQueue): WebhookQueue {
  return {
    ...queue,
    failures: 0,
    lanes: queue.lanes.map(({ key, sequences }) => ({ key, sequences, tries: 0, dueInMs: 0 })),
  };
}
