// Planted bugs in the launches of the providers service.
import type { Bus } from "../../../libs/bus/bus.ts";
import { type Bucket, launches } from "../../../libs/contracts/buckets.ts";
import type { LaunchRecord } from "../../../libs/contracts/providers/provider.ts";
import type { ProviderDriver } from "../../../services/providers/drivers/driver.ts";
import type { Life } from "../sim-process.ts";
import { busOf, type Plant, type PlantSite } from "./plant.ts";

const launchOf = (bucket: { readonly name: string }, value: unknown): LaunchRecord | undefined =>
  bucket.name === launches.name ? (value as LaunchRecord) : undefined;

/** The driver of each instance of a providers process, for a bug that calls it out of turn. */
const providers = new WeakMap<Life, ProviderDriver>();

const some: readonly Omit<Plant, "worlds">[] = [
  {
    name: "the provider launches an agent before the intent is saved",
    breaks: ["persist before acting"],
    provider: (provider, { life }) => {
      providers.set(life, provider);
      return provider;
    },
    bus: busOf("providers", (bus, site) => ({
      kv: {
        update: async (bucket, value, revision) => {
          const launch = launchOf(bucket, value);
          if (launch !== undefined && revision === 0) await launchAlready(site, launch);
          return bus.kv.update(bucket, value, revision);
        },
      },
    })),
  },
  {
    name: "a launch that was taken over is repeated without a look-up",
    breaks: ["launch once"],
    provider: (provider) => ({
      ...provider,
      observe: async (launch) =>
        launch.state === "intended" ? { is: "absent", reason: "not looked up" } : provider.observe(launch),
    }),
  },
  {
    name: "no instance takes over the launches of a dead one",
    breaks: [9],
    bus: busOf("providers", (bus) => ({
      kv: {
        update: async (bucket, value, revision) =>
          (launchOf(bucket, value)?.takeovers ?? 0) > 0 ? undefined : bus.kv.update(bucket, value, revision),
      },
    })),
  },
  {
    name: "the provider treats a joined agent as ready",
    breaks: [8],
    provider: (provider) => ({
      ...provider,
      observe: async (launch) => {
        const found = await provider.observe(launch);
        return found.is === "joined" ? { ...found, is: "ready" } : found;
      },
    }),
  },
  {
    name: "a failed end is never retried",
    breaks: [6, 9],
    provider: (provider) => ({
      ...provider,
      end: (launch, reason) => provider.end(launch, reason).catch(() => undefined),
    }),
  },
  {
    name: "an instance overwrites a launch that another has taken over",
    breaks: ["launch"],
    bus: busOf("providers", (bus) => ({
      kv: { update: (bucket, value, revision) => saveOver(bus, bucket, value, revision) },
    })),
  },
  {
    name: "a provider that can't be reached counts as having no agent",
    breaks: [6, "launch once"],
    provider: (provider) => ({
      ...provider,
      observe: (launch) =>
        provider
          .observe(launch)
          .catch(() => ({ is: "absent" as const, reason: "the provider could not be reached" })),
    }),
  },
];

export const providerPlants: readonly Plant[] = some.map((plant) => ({ ...plant, worlds: "connected" }));

async function launchAlready({ life, world }: PlantSite, launch: LaunchRecord): Promise<void> {
  const { tenant, sessionId, attempt, profile } = launch;
  const record = world.record(tenant, sessionId);
  if (record === undefined) return;
  const { metadata, recovering, room, user } = record;
  const order = { tenant, sessionId, attempt, profile, room, user, metadata, recovering, longestMs: 60_000 };
  await providers
    .get(life)
    ?.launch(order)
    .catch(() => {});
}

async function saveOver<T>(
  bus: Bus,
  bucket: Bucket<T>,
  value: T,
  revision: number,
): Promise<number | undefined> {
  const saved = await bus.kv.update(bucket, value, revision);
  if (saved !== undefined || bucket.name !== launches.name || revision === 0) return saved;
  const present = await bus.kv.get(bucket, bucket.keyOf(value));
  return bus.kv.update(bucket, value, present?.revision ?? 0);
}
