// Privacy services that remove data on the memory bus, in simulated time, and the data left in each store.
import { createReceiptSigner, type ReceiptConfig, type ReceiptSigner } from "../../../libs/auth/receipts.ts";
import { deletionJobs } from "../../../libs/contracts/buckets.ts";
import { type DeletionJob, deletionJobKey } from "../../../libs/contracts/privacy/deletion.ts";
import { allChannels, type Channel, handoffRequests } from "../../../libs/contracts/streams.ts";
import { silentLog } from "../../../libs/runtime/log.ts";
import { startDeletionJobs } from "../../../services/privacy/deletion-jobs.ts";
import { leaveTraces, type Person, textsOfBuckets } from "../fixtures/canary.ts";
import { AT } from "../fixtures/sessions.ts";
import { world } from "./memory-world.ts";

export const ann: Person = { tenant: "acme", user: "ann", canary: "Canary-Ann-7c1f", name: "ann" };
export const bob: Person = { tenant: "acme", user: "bob", canary: "Canary-Bob-91d2", name: "bob" };
export const eve: Person = { tenant: "other", user: "ann", canary: "Canary-Eve-55aa", name: "eve" };

/** The secret that signs receipts. */
export const SECRET = "a secret of two and thirty bytes!";
const receipts: ReceiptConfig = {
  GREENROOM_RECEIPT_PRIVATE_KEY: undefined,
  GREENROOM_RECEIPT_PUBLIC_KEY: undefined,
  GREENROOM_RECEIPT_SECRET: SECRET,
};

export type ErasureWorld = ReturnType<typeof erasureWorld>;

export function erasureWorld() {
  const w = world();
  const bus = w.connect("test");
  const signer = createReceiptSigner(receipts);
  /** Receipts that another thread is signing, which simulated time does not control. */
  const signing = new Set<Promise<string>>();
  const sign: ReceiptSigner["sign"] = async (receipt) => {
    const signed = signer!.sign(receipt);
    signing.add(signed);
    try {
      return await signed;
    } finally {
      signing.delete(signed);
    }
  };
  const privacy = async (name: string) => {
    const own = w.connect(name);
    let op = 0;
    const stop = await w.outcome(
      startDeletionJobs({
        ...{ bus: own, clock: w.clock, log: silentLog, instance: name, settleMs: 5000 },
        nextWriteId: () => `${name}-${++op}`,
        signer: { sign },
      }),
    );
    return { bus: own, stop: () => w.outcome(stop()) };
  };
  /** All stored data, by the name of its store. */
  const everything = async () => {
    const texts = await w.outcome(textsOfBuckets(bus));
    for (const channel of [...(allChannels as unknown as readonly Channel<unknown>[]), handoffRequests]) {
      const stored = await w.outcome(bus.streams.read(channel, { subject: channel.subjects, limit: 10_000 }));
      texts.set(channel.stream, (texts.get(channel.stream) ?? "") + JSON.stringify(stored));
    }
    return texts;
  };
  return {
    ...w,
    bus,
    privacy,
    request: (job: DeletionJob) => w.outcome(bus.kv.update(deletionJobs, job, 0)),
    job: async (id = "del_1") =>
      (await w.outcome(bus.kv.get(deletionJobs, deletionJobKey("acme", id))))?.value,
    jobs: async () => (await w.outcome(bus.kv.entries(deletionJobs))).map(({ value }) => value),
    async pass(ms: number) {
      await w.clock.advance(ms);
      while (signing.size > 0) {
        await Promise.all(signing);
        await w.clock.advance(1);
      }
    },
    traces: (person: Person, at = AT) => w.outcome(leaveTraces(bus, person, { at })),
    holding: async (text: string) =>
      [...(await everything())].filter(([, content]) => content.includes(text)).map(([name]) => name),
  };
}
