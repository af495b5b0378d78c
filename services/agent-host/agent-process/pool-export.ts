// Reads the `pool` export of an agent file.
import { PoolSettings } from "../../../libs/contracts/fleet/pool.ts";
import { unknownName } from "../../../libs/runtime/config.ts";
import { renamedPoolKeys } from "../../../libs/runtime/renamed-settings.ts";

const KEYS = Object.keys(PoolSettings.shape);

/**
 * The `pool` export. Hosts check its values and use the defaults instead of invalid ones. An unknown key would have no
 * effect at all, so it fails the load.
 *
 * @throws Error that names the successor of a renamed key, or the nearest known key
 */
export function poolExportOf(module: Readonly<Record<string, unknown>>): Partial<PoolSettings> {
  const pool = (module.pool ?? {}) as Partial<PoolSettings>;
  if (typeof pool !== "object") throw new Error("the pool export is invalid: it must be an object.");
  const unknown = Object.keys(pool).filter((key) => !KEYS.includes(key));
  if (unknown.length === 0) return pool;
  const faults = unknown.map((key) => unknownName(key, "pool setting", KEYS, renamedPoolKeys[key]));
  throw new Error(`the pool export is invalid: ${faults.join(" ")}`);
}
