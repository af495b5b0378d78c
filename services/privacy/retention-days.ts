// Parses the setting that limits for how many days each tenant's data are kept.
import { setting } from "../../libs/runtime/config.ts";

export interface RetentionDays {
  /** The days of all other tenants; undefined: no limit besides those of the stores. */
  readonly others: number | undefined;
  readonly tenants: ReadonlyMap<string, number | undefined>;
}

export const daysFor = ({ others, tenants }: RetentionDays, tenant: string): number | undefined =>
  tenants.has(tenant) ? tenants.get(tenant) : others;

const DAYS_MAX = 3650;

/** @throws Error that names the invalid part */
export function readRetentionDays(text: string): RetentionDays {
  let others: number | undefined;
  const tenants = new Map<string, number | undefined>();
  for (const part of text.split(",").map((one) => one.trim())) {
    if (part === "") continue;
    const match = /^(?:([A-Za-z0-9_-]{1,64})\s*=\s*)?(\d{1,4}|off)$/.exec(part);
    const days = match?.[2] === "off" ? undefined : Number(match?.[2]);
    if (match === null || (days !== undefined && (days < 1 || days > DAYS_MAX))) {
      throw new Error(
        `"${part}" is not valid: write days from 1 to ${DAYS_MAX}, for example 30, acme=7 or acme=off`,
      );
    }
    if (match[1] === undefined) others = days;
    else tenants.set(match[1], days);
  }
  return { others, tenants };
}

export const retentionDays = setting.parsed(
  "Number of days for which the data of sessions, calls and tasks is kept. `30, acme=7, big=off` sets other values for some tenants. Default: as long as each store keeps data.",
  readRetentionDays,
);
