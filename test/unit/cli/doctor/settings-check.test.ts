// Faults in the settings of all services.
import { expect, test } from "vitest";
import { settingFaults } from "../../../../cli/doctor/settings-check.ts";

test("reports each fault of any service's settings once", () => {
  expect(settingFaults({})).toEqual([]);
  const faults = settingFaults({ GREENROOM_PROT: "8080", GREENROOM_MAX_ATTEMPTS: "none" });
  expect(faults).toHaveLength(2);
  expect(faults.join()).toContain("Did you mean GREENROOM_PORT?");
  expect(faults.join()).toContain("GREENROOM_MAX_ATTEMPTS");
});
