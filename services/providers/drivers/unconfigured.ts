// Stands where a provider would be that the settings say nothing of: it refuses, in words, and never had anything.
import type { ProviderName } from "../../../libs/contracts/providers/provider.ts";
import type { ProviderDriver } from "./driver.ts";

/** @param what to do about it, as a sentence */
export const unconfigured = (name: ProviderName, what: string): ProviderDriver => ({
  name,
  launchLimitMs: 1000,
  launch: async () => ({
    is: "refused",
    reason: `The provider ${name} is not set up: ${what}`,
    retryable: false,
  }),
  observe: async () => ({ is: "absent", reason: `the provider ${name} is not set up` }),
  end: async () => undefined,
});
