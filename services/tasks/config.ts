// The settings of the tasks service.
import { z } from "zod";
import { ProviderName } from "../../libs/contracts/providers/provider.ts";
import { PROVIDERS_DESCRIPTION, parseProviderRules } from "../../libs/contracts/providers/provider-rules.ts";
import { CALL_SLOTS_MAX } from "../../libs/contracts/tasks/task.ts";
import { commonSettings } from "../../libs/runtime/common-settings.ts";
import { type ConfigOf, type Setting, setting } from "../../libs/runtime/config.ts";
import { type CallingHours, parseCallingHours } from "./calling-hours.ts";

/** The limit of each provider. */
export type ProviderLimits = (provider: ProviderName) => number;

const rate: Setting<number> = {
  schema: z.coerce.number().positive().max(1000).default(5) as z.ZodType<number>,
  description:
    "Maximum number of tasks that begin per second, for all instances together; 0.1 means one every 10 s.",
  default: "5",
};

export const tasksSettings = {
  ...commonSettings,
  GREENROOM_TASKS_PER_TENANT: setting.integer(
    "Maximum number of running tasks of one tenant.",
    10,
    1,
    CALL_SLOTS_MAX,
  ),
  GREENROOM_TASKS_PER_PROVIDER: setting.parsed<ProviderLimits>(
    "Maximum number of running tasks of one provider. `10 sip=30 vapi=5` means 10 for every provider, except sip and vapi.",
    parseProviderLimits,
    "10",
  ),
  GREENROOM_TASK_RATE: rate,
  GREENROOM_CALLING_HOURS: setting.parsed<CallingHours | undefined>(
    "Hours in which tasks may begin, for example Mo-Fr 09:00-20:00 Europe/Berlin. Separate several spans with commas. Default: always.",
    (text) => (text === "" ? undefined : parseCallingHours(text)),
  ),
  GREENROOM_PROVIDERS: setting.parsed(PROVIDERS_DESCRIPTION, parseProviderRules),
  GREENROOM_TASK_ATTEMPT_MS: setting.integer(
    "Maximum duration in ms of one attempt of a task, including the conversation.",
    15 * 60_000,
    1000,
  ),
  GREENROOM_TASK_PROVIDER: setting.choice(
    "Provider of a task that names none and whose profile is not in GREENROOM_PROVIDERS.",
    ProviderName.options as [ProviderName, ...ProviderName[]],
    "sip",
  ),
};
export type TasksConfig = ConfigOf<typeof tasksSettings>;

export const taskSettingsOf = (config: TasksConfig) => ({
  limits: {
    perTenant: config.GREENROOM_TASKS_PER_TENANT,
    perProvider: config.GREENROOM_TASKS_PER_PROVIDER,
    total: CALL_SLOTS_MAX,
    callingHours: config.GREENROOM_CALLING_HOURS,
  },
  rate: config.GREENROOM_TASK_RATE,
  deadlineMs: { attempt: config.GREENROOM_TASK_ATTEMPT_MS },
  providerOf: (profile: string) => providerFor(config, { profile }),
});

/** The provider of a task: its own, that of its profile, or the default. */
export const providerFor = (
  config: Pick<TasksConfig, "GREENROOM_PROVIDERS" | "GREENROOM_TASK_PROVIDER">,
  { profile, provider }: { readonly profile: string; readonly provider?: ProviderName | undefined },
): ProviderName =>
  provider ??
  config.GREENROOM_PROVIDERS.find((rule) => rule.profile === profile)?.provider ??
  config.GREENROOM_TASK_PROVIDER;

/** @throws Error that names the invalid part */
export function parseProviderLimits(text: string): ProviderLimits {
  const limits = new Map<string, number>();
  let general = 10;
  for (const part of text.split(/[\s,]+/).filter((each) => each !== "")) {
    const [, name, digits = ""] = /^(?:([a-z]+)=)?(\d{1,4})$/.exec(part) ?? [];
    const limit = Number(digits);
    if (digits === "" || limit > CALL_SLOTS_MAX)
      throw new Error(`"${part}" is not valid: write, for example, 10 or sip=30, up to ${CALL_SLOTS_MAX}`);
    if (name === undefined) general = limit;
    else if (ProviderName.options.some((known) => known === name)) limits.set(name, limit);
    else throw new Error(`"${name}" is not a provider; the providers are ${ProviderName.options.join(", ")}`);
  }
  return (provider) => limits.get(provider) ?? general;
}
