// Reads the `pool` export of an agent file.
import { Isolation, PoolSettings } from "../../../../libs/contracts/fleet/pool.ts";
import { unknownName } from "../../../../libs/runtime/config.ts";
import { renamedPoolKeys } from "../../../../libs/runtime/renamed-settings.ts";

const KEYS = [...Object.keys(PoolSettings.shape), "isolation"];

/**
 * The `pool` export. Hosts check its values and use the defaults instead of invalid ones. An unknown key would have no
 * effect at all, so it fails the load.
 *
 * @throws Error that names the successor of a renamed key, or the nearest known key
 */
export function poolExportOf(module: Readonly<Record<string, unknown>>): Partial<PoolSettings> {
  const { isolation: _, ...pool } = objectOf(module.pool);
  const unknown = Object.keys(pool).filter((key) => !KEYS.includes(key));
  if (unknown.length === 0) return pool as Partial<PoolSettings>;
  const faults = unknown.map((key) => unknownName(key, "pool setting", KEYS, renamedPoolKeys[key]));
  throw new Error(`the pool export is invalid: ${faults.join(" ")}`);
}

/** @throws Error for any other value */
export function isolationOf(module: Readonly<Record<string, unknown>>): Isolation | undefined {
  const { isolation } = objectOf(module.pool);
  if (isolation === undefined) return undefined;
  const parsed = Isolation.safeParse(isolation);
  if (parsed.success) return parsed.data;
  throw new Error(`the pool export is invalid: isolation must be ${Isolation.options.join(", ")}.`);
}

function objectOf(pool: unknown = {}): Record<string, unknown> {
  if (typeof pool === "object" && pool !== null) return pool as Record<string, unknown>;
  throw new Error("the pool export is invalid: it must be an object.");
}
