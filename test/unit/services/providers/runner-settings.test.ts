// The settings of agent runners.
import { describe, expect, it, test } from "vitest";
import { parseProviderRules } from "../../../../libs/contracts/providers/provider-rules.ts";
import { ConfigError, readConfig } from "../../../../libs/runtime/config.ts";
import { runnerSettings, setUpRunner } from "../../../../services/providers/runner-settings.ts";
import { RUNNER_SECRET } from "../../../kit/worlds/handoff-world.ts";

describe("setUpRunner", () => {
  const setUp = ({ rules = "", ...env }: Record<string, string>) =>
    setUpRunner(readConfig(runnerSettings, env, []), parseProviderRules(rules));
  const launcher = { AGENT_LAUNCHER_URL: "http://runner:4100", AGENT_LAUNCHER_SECRET: RUNNER_SECRET };

  it("reads the runner's address, the secrets and the claim's address", () => {
    const set = setUp({
      ...launcher,
      AGENT_LAUNCHER_SECRET: `${RUNNER_SECRET}, ${RUNNER_SECRET}`,
      CONTROL_PLANE_BASE_URL: "https://api.example/",
    });
    expect(set.launcherUrl).toBe("http://runner:4100/runtime/agent-sessions/launch");
    expect(set.secrets).toEqual([RUNNER_SECRET, RUNNER_SECRET]);
    expect(set.claimUrlOf("d-1")).toBe("https://api.example/api/claims/d-1/claim");
    expect(setUp({}).claimUrlOf("d-1")).toBeUndefined();
  });

  test.each<[string, Record<string, string>, RegExp]>([
    ["CLAIMER_ENABLED", { CLAIMER_ENABLED: "true" }, /CLAIMER_ENABLED: not supported/],
    ["a launcher without a secret", { AGENT_LAUNCHER_URL: "http://r" }, /AGENT_LAUNCHER_SECRET/],
    ["a profile's runner without an address", { rules: "a=webhook" }, /"a" has no agent runner/],
    ["a profile's runner without a secret", { rules: "a=webhook:http://r" }, /AGENT_LAUNCHER_SECRET/],
    [
      "a runner address that is no http URL",
      { ...launcher, AGENT_LAUNCHER_URL: "runner:4100" },
      /not an http/,
    ],
    [
      "a base address that is no http URL",
      { CONTROL_PLANE_BASE_URL: "ftp://x" },
      /CONTROL_PLANE_BASE_URL: not an http/,
    ],
    ["a short secret", { ...launcher, AGENT_LAUNCHER_SECRET: "whsec_c2hvcnQ=" }, /whsec_/],
    ["a secret without the prefix whsec_", { ...launcher, AGENT_LAUNCHER_SECRET: "x".repeat(40) }, /whsec_/],
  ])("rejects %s", (_what, env, message) => {
    expect(() => setUp(env)).toThrow(ConfigError);
    expect(() => setUp(env)).toThrow(message);
  });
});
