// The routes of pools: their target and present size, and the canary of a profile.
import { pools } from "../../../libs/contracts/buckets.ts";
import { GreenroomError } from "../../../libs/contracts/errors.ts";
import type { HostRecord } from "../../../libs/contracts/fleet/host.ts";
import {
  CanaryParams,
  CanaryRequest,
  PoolAnswer,
  type PoolState,
  PoolsAnswer,
  ResizeRequest,
} from "../../../libs/contracts/fleet/http.ts";
import type { PoolTarget } from "../../../libs/contracts/fleet/pool.ts";
import { ErrorAnswer } from "../../../libs/contracts/sessions/http.ts";
import type { Gateway } from "../context.ts";
import type { Routes } from "../http/routes.ts";
import {
  defaultProfile,
  knownProfiles,
  liveHosts,
  loadingForMs,
  profileOn,
  versionsOf,
} from "../sessions/profiles.ts";

/** Concurrent writes are rare, and each takes milliseconds. */
const MAX_TRIES = 8;

const errors = { "4xx": ErrorAnswer, "5xx": ErrorAnswer };

export function poolRoutes(app: Routes, gateway: Gateway): void {
  app.get(
    "/api/pools",
    {
      schema: {
        summary: "List the pools with their target and present size",
        tags: ["fleet"],
        response: { 200: PoolsAnswer, "5xx": ErrorAnswer },
      },
    },
    async () => {
      const targets = new Map(
        (await gateway.bus.kv.entries(pools)).map(({ value }) => [value.profile, value]),
      );
      const hosts = gateway.hosts.all();
      const names = [...new Set([...targets.keys(), ...knownProfiles(hosts)])].sort();
      return {
        success: true as const,
        pools: names.map((name) => poolState(hosts, name, targets.get(name))),
      };
    },
  );
  app.post(
    "/api/pool/resize",
    {
      schema: {
        summary: "Resize the pool of a profile",
        description:
          "`size` counts for the whole fleet. The hosts distribute it among themselves within a second.",
        tags: ["fleet"],
        body: ResizeRequest,
        response: { 200: PoolAnswer, ...errors },
      },
    },
    async ({ body }) => {
      const profile = profileToResize(gateway, body.profile);
      const target = await change(gateway, profile, (present) => resized(present, body.size, body.hot));
      return {
        success: true as const,
        pool: poolState(gateway.hosts.all(), profile, target),
        message: `The fleet keeps ${target.min} agents of "${profile}" ready, ${target.hot} of them hot.`,
      };
    },
  );
  canaryRoutes(app, gateway);
}

function canaryRoutes(app: Routes, gateway: Gateway): void {
  app.put(
    "/api/pools/:profile/canary",
    {
      schema: {
        summary: "Set the canary of a profile",
        description:
          "`share` of the new sessions prefer hosts with this version of the agent code, and the others prefer hosts without it. If these have no free agent, a session gets any other. Running sessions stay.",
        tags: ["fleet"],
        params: CanaryParams,
        body: CanaryRequest,
        response: { 200: PoolAnswer, ...errors },
      },
    },
    async ({ params: { profile }, body }) => {
      const pool = poolState(
        gateway.hosts.all(),
        profile,
        await change(gateway, profile, (target) => ({ ...target, canary: body })),
      );
      const percent = Math.round(body.share * 10_000) / 100;
      const missing = pool.versions.includes(body.version) ? "" : " No host has this version now.";
      const message = `${percent} % of the new sessions of "${profile}" prefer version ${body.version}.${missing}`;
      return { success: true as const, pool, message };
    },
  );
  app.delete(
    "/api/pools/:profile/canary",
    {
      schema: {
        summary: "Remove the canary of a profile",
        description: "The version then plays no part in the choice of a host. Running sessions stay.",
        tags: ["fleet"],
        params: CanaryParams,
        response: { 200: PoolAnswer, ...errors },
      },
    },
    async ({ params: { profile } }) => {
      const target = await change(gateway, profile, ({ canary: _, ...rest }) => rest);
      return {
        success: true as const,
        pool: poolState(gateway.hosts.all(), profile, target),
        message: `"${profile}" has no canary.`,
      };
    },
  );
}

function profileToResize(gateway: Gateway, requested: string | undefined): string {
  const profile =
    requested ?? defaultProfile(liveHosts(gateway.hosts.all()), gateway.config.GREENROOM_DEFAULT_PROFILE);
  if (profile !== undefined) return profile;
  throw new GreenroomError("no_hosts", "No agent-host is running, so there is no pool to resize.", {
    retryAfterMs: 2000,
  });
}

/** Writes the new target by compare-and-set. Retries after a concurrent write. */
async function change(
  gateway: Gateway,
  profile: string,
  to: (present: PoolTarget) => PoolTarget,
): Promise<PoolTarget> {
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const entry = await gateway.bus.kv.get(pools, profile);
    if (entry === undefined) throw unknownPool(gateway, profile);
    const target = to(entry.value);
    if ((await gateway.bus.kv.update(pools, target, entry.revision)) !== undefined) return target;
  }
  throw new GreenroomError(
    "conflict",
    `The pool of "${profile}" was changed at the same time. Retry the request.`,
  );
}

/** @throws GreenroomError invalid_request if the size exceeds the pool's maximum */
function resized(target: PoolTarget, size: number, hot: number | undefined): PoolTarget {
  if (size > target.max) {
    throw new GreenroomError(
      "invalid_request",
      `body.size: the pool of "${target.profile}" has a maximum of ${target.max} agents, set by \`pool\` in its agent file.`,
    );
  }
  if (hot !== undefined && hot > size) {
    throw new GreenroomError(
      "invalid_request",
      `body.hot: the number of hot agents can't exceed the size, ${size}.`,
    );
  }
  return { ...target, min: size, hot: hot ?? Math.min(target.hot, size), source: "api" };
}

function unknownPool(gateway: Gateway, profile: string): GreenroomError {
  const known = knownProfiles(gateway.hosts.all());
  if (!known.includes(profile)) {
    const names = known.length === 0 ? "No host has any profile." : `Known: ${known.join(", ")}.`;
    return new GreenroomError("unknown_profile", `No host has an agent file "${profile}". ${names}`);
  }
  return new GreenroomError("profile_unavailable", `No host has published the pool of "${profile}" yet.`, {
    retryAfterMs: 2000,
  });
}

function poolState(hosts: readonly HostRecord[], profile: string, target: PoolTarget | undefined): PoolState {
  const states = profileOn(liveHosts(hosts), profile);
  const sum = (of: "warm" | "hot" | "warming" | "busy") => states.reduce((all, state) => all + state[of], 0);
  const loading = loadingForMs(states);
  const { profile: _, ...numbers } = target ?? { profile };
  return {
    profile,
    target: target === undefined ? null : (numbers as Omit<PoolTarget, "profile">),
    present: { warm: sum("warm"), hot: sum("hot"), warming: sum("warming"), busy: sum("busy") },
    hosts: states.filter(({ status }) => status === "running").length,
    versions: versionsOf(states),
    ...(loading === undefined ? {} : { loadingForMs: loading }),
  };
}
