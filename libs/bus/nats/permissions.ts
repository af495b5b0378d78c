// Probes whether NATS permits what the services do, without leaving traces. For tools.
import { AckPolicy, DiscardPolicy, nanos, nuid, RetentionPolicy, StorageType } from "nats";
import { allBuckets } from "../../contracts/buckets.ts";
import { messageOf } from "../../contracts/errors.ts";
import {
  allChannels,
  hostChanges,
  roomEvents,
  serviceHeartbeats,
  webhooksQueued,
} from "../../contracts/streams.ts";
import { encode } from "../codec.ts";
import { apiCode, wasRefusedForNow } from "./errors.ts";
import { type NatsInspector, refusedByEveryStream } from "./inspect.ts";

export interface SubjectRights {
  readonly mayNotPublish: readonly string[];
  readonly mayNotSubscribe: readonly string[];
}

/** The token in all probed subjects. No session, host or tenant has this name. */
const PROBE = "doctor-tries";

/**
 * The subjects of the services that this account may not use.
 *
 * Messages to a stream have a header by which the stream refuses them, and transient messages change nothing. NATS
 * reports a violation before it answers the flush.
 */
export async function probeSubjects({ connection }: NatsInspector): Promise<SubjectRights> {
  const mayNotPublish = new Set<string>();
  const mayNotSubscribe = new Set<string>();
  const listening = (async () => {
    for await (const { permissionContext: denied } of connection.status()) {
      if (denied?.operation === "publish") mayNotPublish.add(denied.subject);
      else if (denied !== undefined) mayNotSubscribe.add(denied.subject);
    }
  })();
  listening.catch(() => {});
  const subscriptions = subscribedSubjects().map((subject) =>
    connection.subscribe(subject, {
      callback: (error) => {
        if (error !== null) mayNotSubscribe.add(subject);
      },
    }),
  );
  for (const subject of storedSubjects()) {
    connection.publish(subject, encode({ doctor: "probes permissions" }), {
      headers: refusedByEveryStream(),
    });
  }
  for (const command of ["assign", "release", "ping"]) connection.publish(`host.${PROBE}.${command}`);
  for (const { subject, message } of harmlessMessages()) connection.publish(subject, encode(message));
  await connection.flush();
  // The client reports violations asynchronously.
  await new Promise((resolve) => setTimeout(resolve, 20));
  for (const subscription of subscriptions) subscription.unsubscribe();
  return { mayNotPublish: [...mayNotPublish], mayNotSubscribe: [...mayNotSubscribe] };
}

const probed = (subject: string): string => subject.replace(/[*>]/g, PROBE);

const storedSubjects = (): string[] => [
  ...new Set([
    ...allChannels.map(({ subjects }) => probed(subjects)),
    ...allBuckets.map(({ name }) => `$KV.${name}.${PROBE}`),
  ]),
];

const subscribedSubjects = (): string[] => [
  ...["assign", "release", "drain", "undrain", "ping"].map((command) => `host.${PROBE}.${command}`),
  hostChanges.subject,
  serviceHeartbeats.subject,
  roomEvents.subject,
  webhooksQueued.subject,
];

/** Valid messages, which no service logs, about no existing host or room. */
const harmlessMessages = (): { subject: string; message: object }[] => [
  {
    subject: serviceHeartbeats.subject,
    message: { service: "gateway", instance: PROBE, pid: process.pid, status: "stopped" },
  },
  { subject: roomEvents.subject, message: { event: PROBE, room: PROBE } },
  {
    subject: hostChanges.subject,
    // Epoch 0 comes before every registration, so the record is ignored.
    message: {
      ...{ hostId: PROBE, epoch: 0, pid: process.pid, startedAt: "", draining: true, sessions: 0, load: 0 },
      ...{
        maxAgents: 0,
        sequence: 0,
        profiles: {},
        processes: [],
        stats: { spawned: 0, assigned: 0, lost: 0 },
      },
    },
  },
];

export interface StoreProbe {
  /** The first failure; the later steps depend on it. */
  readonly failed:
    | { readonly doing: string; readonly error: string; readonly code: number | undefined }
    | undefined;
  /** When the stream was created: the start and end on this clock, and the time on NATS's clock. */
  readonly created: { readonly fromMs: number; readonly toMs: number; readonly serverMs: number } | undefined;
  readonly tookMs: number;
}

const TRIAL_PREFIX = "GREENROOM_DOCTOR_";
const TRIAL_BYTES = 64 * 1024;
/** A probe removes the streams of killed probes after this time. */
const ABANDONED_MS = 5 * 60_000;
/** In a cluster, a new stream or consumer has no leader for a moment and does not respond. */
const LEADERLESS_MS = 5000;

/** A pull reports it in the message only. */
const hasNoLeaderYet = (error: unknown): boolean =>
  wasRefusedForNow(error) || /no responders/i.test(messageOf(error));

/** Creates a stream with that number of copies, uses it like a service, and removes it. */
export async function probeStore(look: NatsInspector, replicas: number): Promise<StoreProbe> {
  const began = performance.now();
  const id = nuid.next();
  const name = `${TRIAL_PREFIX}${id}`;
  const subject = `greenroom-doctor.${id}`;
  const manager = await look.manager();
  const js = look.connection.jetstream({ timeout: 3000 });
  let doing = "";
  let created: StoreProbe["created"];
  const end = (failed: StoreProbe["failed"]): StoreProbe => ({
    failed,
    created,
    tookMs: performance.now() - began,
  });
  const step = async <T>(what: string, work: () => Promise<T>): Promise<T> => {
    doing = what;
    const deadline = performance.now() + LEADERLESS_MS;
    for (;;) {
      try {
        return await work();
      } catch (error) {
        if (!hasNoLeaderYet(error) || performance.now() > deadline) throw error;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  };
  try {
    await step(`creating a stream with ${replicas} ${replicas === 1 ? "copy" : "copies"}`, async () => {
      const fromMs = Date.now();
      const info = await manager.streams.add({
        name,
        subjects: [subject],
        storage: StorageType.File,
        retention: RetentionPolicy.Limits,
        discard: DiscardPolicy.New,
        num_replicas: replicas,
        max_bytes: TRIAL_BYTES,
        max_age: nanos(ABANDONED_MS),
      });
      created = { fromMs, toMs: Date.now(), serverMs: Date.parse(info.created) };
    });
    await step("storing a message", () => js.publish(subject, "1", { msgID: id }));
    await step("storing by compare-and-set", () =>
      js.publish(subject, "2", { expect: { lastSubjectSequence: 1 } }),
    );
    await step("creating a consumer", () =>
      manager.consumers.add(name, { durable_name: "doctor", ack_policy: AckPolicy.Explicit }),
    );
    await step("pulling a message", async () => {
      const message = await (await js.consumers.get(name, "doctor")).next({ expires: 2000 });
      if (message === null) throw new Error("the stored message was not delivered");
      if (!(await message.ackAck())) throw new Error("the ack was not confirmed");
    });
    await step("reading a stored message", () => manager.streams.getMessage(name, { seq: 2 }));
    await step("purging a stream", () => manager.streams.purge(name));
    return end(undefined);
  } catch (error) {
    return end({ doing, error: messageOf(error), code: apiCode(error) });
  } finally {
    if (created !== undefined) await removeTrials(look, name, created.serverMs).catch(() => {});
  }
}

/** Both times are on NATS's clock. */
async function removeTrials(look: NatsInspector, own: string, ownCreatedMs: number): Promise<void> {
  const manager = await look.manager();
  await manager.streams.delete(own).catch(() => {});
  for await (const { config, created } of manager.streams.list()) {
    const isAbandoned = ownCreatedMs - Date.parse(created) > ABANDONED_MS;
    if (config.name.startsWith(TRIAL_PREFIX) && isAbandoned) await manager.streams.delete(config.name);
  }
}
