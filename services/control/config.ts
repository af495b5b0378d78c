// The settings of the control process: which roles it runs, and the settings of those roles.
import { RoleName } from "../../libs/contracts/fleet/pool.ts";
import { type CommonConfig, commonSettings } from "../../libs/runtime/common-settings.ts";
import { type ConfigOf, readConfig, type Settings, setting, unknownName } from "../../libs/runtime/config.ts";
import type { Roles } from "./roles.ts";

export const controlSettings = {
  ...commonSettings,
  GREENROOM_ROLES: setting.parsed<readonly RoleName[]>(
    `Roles of this process, separated by commas. Default: all of ${RoleName.options.join(", ")}.`,
    parseRoles,
  ),
};
type ControlConfig = ConfigOf<typeof controlSettings>;

/** @throws ConfigError with the faults of all roles that are to run */
export function readControlConfig(
  roles: Roles,
  env: Readonly<Record<string, string | undefined>>,
): ControlConfig & CommonConfig {
  const names = rolesIn(env);
  const settings = mergeSettings([controlSettings, ...names.map((name) => roles[name].settings)]);
  return readConfig(settings, env) as ControlConfig;
}

/** The roles that the environment names; all of them when it names one that doesn't exist. */
export function rolesIn(env: Readonly<Record<string, string | undefined>>): readonly RoleName[] {
  const { schema } = controlSettings.GREENROOM_ROLES;
  const parsed = schema.safeParse(env.GREENROOM_ROLES);
  return parsed.success ? parsed.data : RoleName.options;
}

/** @throws Error when two roles give one name different meanings, which one process could not tell apart */
export function mergeSettings(tables: readonly Settings[]): Settings {
  const merged: Record<string, Settings[string]> = {};
  for (const table of tables) {
    for (const [name, own] of Object.entries(table)) {
      const other = merged[name] ?? own;
      if (other.default !== own.default || other.description !== own.description)
        throw new Error(`${name} means one thing to one role and another to the next.`);
      merged[name] = own;
    }
  }
  return merged;
}

function parseRoles(text: string): readonly RoleName[] {
  const names = text.split(/[\s,]+/).filter((name) => name !== "");
  for (const name of names) {
    if (RoleName.options.some((role) => role === name)) continue;
    throw new Error(unknownName(`"${name}"`, "role", RoleName.options));
  }
  return names.length === 0 ? RoleName.options : [...new Set(names as RoleName[])];
}
