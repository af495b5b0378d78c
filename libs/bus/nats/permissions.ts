// Tries whether NATS lets a process do what the services do, without a trace: for tools.
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

/** The token of all subjects that are tried: nobody's session, host or tenant. */
const TRIED = "doctor-tries";

/**
 * Which subjects of the services this account may not use.
 *
 * What goes to a stream carries a header by which the stream refuses it; announcements say what changes nothing.
 * NATS reports a violation before the flush is answered.
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
  const subscriptions = subjectsHeard().map((subject) =>
    connection.subscribe(subject, {
      callback: (error) => {
        if (error !== null) mayNotSubscribe.add(subject);
      },
    }),
  );
  for (const subject of subjectsStored()) {
    connection.publish(subject, encode({ doctor: "tries whether it may" }), {
      headers: refusedByEveryStream(),
    });
  }
  for (const command of ["assign", "release", "ping"]) connection.publish(`host.${TRIED}.${command}`);
  for (const { subject, message } of harmlessWords()) connection.publish(subject, encode(message));
  await connection.flush();
  // What the server said before its answer is told in turns of its own.
  await new Promise((resolve) => setTimeout(resolve, 20));
  for (const subscription of subscriptions) subscription.unsubscribe();
  return { mayNotPublish: [...mayNotPublish], mayNotSubscribe: [...mayNotSubscribe] };
}

const tried = (subject: string): string => subject.replace(/[*>]/g, TRIED);

const subjectsStored = (): string[] => [
  ...new Set([
    ...allChannels.map(({ subjects }) => tried(subjects)),
    ...allBuckets.map(({ name }) => `$KV.${name}.${TRIED}`),
  ]),
];

const subjectsHeard = (): string[] => [
  ...["assign", "release", "drain", "undrain", "ping"].map((command) => `host.${TRIED}.${command}`),
  hostChanges.subject,
  serviceHeartbeats.subject,
  roomEvents.subject,
  webhooksQueued.subject,
];

/** Of the right shape, so that nobody logs them, and about nobody. */
const harmlessWords = (): { subject: string; message: object }[] => [
  {
    subject: serviceHeartbeats.subject,
    message: { service: "gateway", instance: TRIED, pid: process.pid, status: "stopped" },
  },
  { subject: roomEvents.subject, message: { event: TRIED, room: TRIED } },
  {
    subject: hostChanges.subject,
    // Of epoch 0, which every host had before it registered: such words are dropped.
    message: {
      ...{ id: TRIED, epoch: 0, pid: process.pid, startedAt: "", draining: true, sessions: 0, load: 0 },
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
  /** What didn't work, the first thing only: what follows depends on it. */
  readonly failed:
    | { readonly doing: string; readonly error: string; readonly code: number | undefined }
    | undefined;
  /** From when to when, on our clock, the stream was made, and when NATS says that it was. */
  readonly made: { readonly fromMs: number; readonly toMs: number; readonly serverMs: number } | undefined;
  readonly tookMs: number;
}

const TRIAL_PREFIX = "GREENROOM_DOCTOR_";
const TRIAL_BYTES = 64 * 1024;
/** What a trial that was killed left behind is removed by the next one, once it can't be in use any more. */
const ABANDONED_MS = 5 * 60_000;
/** In a cluster what was just made has a leader only after a moment, and until then nobody answers for it. */
const LEADERLESS_MS = 5000;

/** The client says it by a message alone where it pulls. */
const hasNoLeaderYet = (error: unknown): boolean =>
  wasRefusedForNow(error) || /no responders/i.test(messageOf(error));

/** Makes a stream of its own with that many copies, does with it what the services do with theirs, and removes it. */
export async function probeStore(look: NatsInspector, replicas: number): Promise<StoreProbe> {
  const began = performance.now();
  const id = nuid.next();
  const name = `${TRIAL_PREFIX}${id}`;
  const subject = `greenroom-doctor.${id}`;
  const manager = await look.manager();
  const js = look.connection.jetstream({ timeout: 3000 });
  let doing = "";
  let made: StoreProbe["made"];
  const end = (failed: StoreProbe["failed"]): StoreProbe => ({
    failed,
    made,
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
    await step(`making a stream with ${replicas} ${replicas === 1 ? "copy" : "copies"}`, async () => {
      const fromMs = Date.now();
      const { created } = await manager.streams.add({
        name,
        subjects: [subject],
        storage: StorageType.File,
        retention: RetentionPolicy.Limits,
        discard: DiscardPolicy.New,
        num_replicas: replicas,
        max_bytes: TRIAL_BYTES,
        max_age: nanos(ABANDONED_MS),
      });
      made = { fromMs, toMs: Date.now(), serverMs: Date.parse(created) };
    });
    await step("storing a message", () => js.publish(subject, "1", { msgID: id }));
    await step("storing by compare-and-set", () =>
      js.publish(subject, "2", { expect: { lastSubjectSequence: 1 } }),
    );
    await step("making a consumer", () =>
      manager.consumers.add(name, { durable_name: "doctor", ack_policy: AckPolicy.Explicit }),
    );
    await step("taking a message from a consumer", async () => {
      const message = await (await js.consumers.get(name, "doctor")).next({ expires: 2000 });
      if (message === null) throw new Error("the message that was stored did not come");
      if (!(await message.ackAck())) throw new Error("the acknowledgement was not answered");
    });
    await step("reading a stored message", () => manager.streams.getMessage(name, { seq: 2 }));
    await step("purging a stream", () => manager.streams.purge(name));
    return end(undefined);
  } catch (error) {
    return end({ doing, error: messageOf(error), code: apiCode(error) });
  } finally {
    if (made !== undefined) await removeTrials(look, name, made.serverMs).catch(() => {});
  }
}

/** Both times are NATS's own. */
async function removeTrials(look: NatsInspector, own: string, ownMadeMs: number): Promise<void> {
  const manager = await look.manager();
  await manager.streams.delete(own).catch(() => {});
  for await (const { config, created } of manager.streams.list()) {
    const isAbandoned = ownMadeMs - Date.parse(created) > ABANDONED_MS;
    if (config.name.startsWith(TRIAL_PREFIX) && isAbandoned) await manager.streams.delete(config.name);
  }
}
