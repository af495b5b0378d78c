// Compares the generated documents with the code, and the list of setting names with the services' settings.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { doctorSettings } from "../../cli/doctor/config.ts";
import { localSettings } from "../../cli/supervisor/config.ts";
import { documents } from "../../docs/render.ts";
import { allSettingNames, commonSettings } from "../../libs/runtime/common-settings.ts";
import { agentHostSettings } from "../../services/agent-host/config.ts";
import { callsSettings } from "../../services/calls/config.ts";
import { controlSettings } from "../../services/control/config.ts";
import { dispatcherSettings } from "../../services/dispatcher/config.ts";
import { gatewaySettings } from "../../services/gateway/config.ts";
import { handoffsSettings } from "../../services/handoffs/config.ts";
import { janitorSettings } from "../../services/janitor/config.ts";
import { privacySettings } from "../../services/privacy/config.ts";
import { providersSettings } from "../../services/providers/config.ts";
import { tasksSettings } from "../../services/tasks/config.ts";
import { webhooksSettings } from "../../services/webhooks/config.ts";

describe("generated documents", () => {
  it.each(Object.keys(documents))("docs/%s is what `npm run docs` writes", (name) => {
    const stored = readFileSync(new URL(`../../docs/${name}`, import.meta.url), "utf8");
    expect(stored).toBe(documents[name]?.());
  });
});

describe("the list of all settings", () => {
  const used = [
    commonSettings,
    localSettings,
    doctorSettings,
    controlSettings,
    agentHostSettings,
    dispatcherSettings,
    gatewaySettings,
    controlSettings,
    janitorSettings,
    providersSettings,
    handoffsSettings,
    tasksSettings,
    callsSettings,
    webhooksSettings,
    privacySettings,
  ].flatMap((settings) => Object.keys(settings).filter((name) => name.startsWith("GREENROOM_")));

  it("has every setting that a service reads", () => {
    for (const name of used) expect(allSettingNames).toContain(name);
  });

  it("has none that neither a service nor the tests read", () => {
    const ofTests = ["GREENROOM_CHROMIUM"];
    for (const name of allSettingNames) expect([...used, ...ofTests]).toContain(name);
  });
});
