// Stands where a provider would be that the settings say nothing of: it refuses, in words, and never had anything.
import type { ProviderName } from "../../../libs/contracts/providers/provider.ts";
import type { Provider } from "./driver.ts";

/** @param what to do about it, as a sentence */
export const unconfigured = (name: ProviderName, what: string): Provider => ({
  name,
  launchLimitMs: 1000,
  launch: async () => ({
    is: "refused",
    why: `The provider ${name} is not set up: ${what}`,
    worthRepeating: false,
  }),
  observe: async () => ({ is: "absent", why: `the provider ${name} is not set up` }),
  end: async () => undefined,
});
