// The operator of a simulated world, who sets the canary of each profile while all is well.
import { pools } from "../../../libs/contracts/buckets.ts";
import { versionOn } from "../services.ts";
import type { World } from "../world.ts";

/** In worlds without a canary, no operator connects. */
export async function setCanaries({ scenario, server, trace }: World): Promise<void> {
  const share = scenario.canaryShare;
  if (share === undefined) return;
  const operator = server.connect("canary-operator");
  const canary = { version: versionOn("host-1"), share };
  for (const profile of scenario.profiles) {
    trace.note("operator", `sets the canary of ${profile} to ${share} of the sessions`);
    for (let isStored = false; !isStored; ) {
      const stored = await operator.kv.get(pools, profile);
      const target = stored?.value ?? { ...scenario.pool, profile, source: "file" as const };
      isStored =
        (await operator.kv.update(pools, { ...target, canary }, stored?.revision ?? 0)) !== undefined;
    }
  }
}

/** No host that stores the pool of its file, and no resize, removes a canary. */
export function checkCanaries({ scenario, server, trace }: World): void {
  for (const { value } of server.entries(pools))
    if (value.canary?.share !== scenario.canaryShare && scenario.profiles.includes(value.profile))
      trace.violation("canaries stay", `the canary of ${value.profile} is ${JSON.stringify(value.canary)}`);
}
