// Sources of facts, opened despite invalid settings.
import { expect, test } from "vitest";
import { openSources } from "../../../../cli/doctor/sources.ts";

test("uses defaults for invalid settings", async () => {
  const sources = await openSources({ GREENROOM_PORT: "many", NATS_URL: "nats://10.0.0.1:4222" }, false);
  expect(sources.config.GREENROOM_PORT).toBe(8080);
  expect(sources.natsUrl).toBe("nats://10.0.0.1:4222");
  expect(sources.isNatsGiven).toBe(true);
});
