// The handoffs service's settings. All values differ, so that none can be mistaken for another.
import { expect, test } from "vitest";
import { readConfig } from "../../../../libs/runtime/config.ts";
import * as handoffs from "../../../../services/handoffs/config.ts";

test("gives the handoffs service its settings: whether it accepts, how many at once, and the provider of agents", () => {
  const settingsBy = (env: Record<string, string>, logged: string[] = []) =>
    handoffs.handoffSettingsOf(readConfig(handoffs.handoffsSettings, env), {
      info: (text: unknown) => logged.push(String(text)),
    } as never);
  const settings = settingsBy({
    INGESTION_ENABLED: "false",
    INGESTION_BATCH_SIZE: "19",
    LAUNCHER_ENABLED: "true",
    AGENT_LAUNCHER_URL: "http://runner",
    GREENROOM_PROVIDERS: "sales=webhook:http://other",
  });
  expect(settings).toMatchObject({ takesHandoffs: false, batchSize: 19, launcher: "webhook" });
  expect([settings.configuredFor("sales"), settings.configuredFor("echo")]).toEqual(["webhook", undefined]);
  const logged: string[] = [];
  expect(settingsBy({}, logged)).toMatchObject({ takesHandoffs: true, batchSize: 25, launcher: undefined });
  expect(logged).toEqual([]);
  settingsBy({ INGESTION_POLL_INTERVAL_MS: "1000" }, logged);
  expect(logged.join()).toContain("INGESTION_POLL_INTERVAL_MS is ignored");
  expect(() => settingsBy({ LAUNCHER_ENABLED: "true" })).toThrow(/AGENT_LAUNCHER_URL/);
});
