// The roles of a control process, and their settings.
import { describe, expect, test } from "vitest";
import { RoleName } from "../../../../libs/contracts/fleet/pool.ts";
import { ConfigError, setting } from "../../../../libs/runtime/config.ts";
import { mergeSettings, readControlConfig, rolesIn } from "../../../../services/control/config.ts";
import { allRoles } from "../../../../services/control/roles.ts";

const read = (env: Record<string, string>) => readControlConfig(allRoles, env);

describe("GREENROOM_ROLES", () => {
  test("selects every role by default, also when it is empty", () => {
    for (const env of [{}, { GREENROOM_ROLES: "" }])
      expect(read(env).GREENROOM_ROLES).toEqual(RoleName.options);
  });

  test("selects roles, each once", () => {
    const env = { GREENROOM_ROLES: "webhooks, dispatcher,webhooks" };
    expect(read(env).GREENROOM_ROLES).toEqual(["webhooks", "dispatcher"]);
    expect(rolesIn(env)).toEqual(["webhooks", "dispatcher"]);
  });

  test("refuses an unknown role and names the nearest one", () => {
    const start = () => read({ GREENROOM_ROLES: "dispatcher,web-hooks" });
    expect(start).toThrow(ConfigError);
    expect(start).toThrow('GREENROOM_ROLES: "web-hooks" is not a role. Did you mean webhooks?');
  });
});

describe("readControlConfig", () => {
  test("reads the settings of its roles", () => {
    const config = read({ GREENROOM_SWEEP_MS: "1234", GREENROOM_TASK_RATE: "7" });
    expect(config).toMatchObject({ GREENROOM_SWEEP_MS: 1234, GREENROOM_TASK_RATE: 7 });
  });

  test("reports the faults of several roles at once", () => {
    const env = { GREENROOM_SWEEP_MS: "often", GREENROOM_TASK_RATE: "fast" };
    expect(() => read(env)).toThrow(/GREENROOM_SWEEP_MS.*\n.*GREENROOM_TASK_RATE/);
  });

  test("ignores settings of roles that other processes run", () => {
    const config = read({ GREENROOM_ROLES: "webhooks", GREENROOM_SWEEP_MS: "often" });
    expect(config).not.toHaveProperty("GREENROOM_SWEEP_MS");
  });

  test("rejects a setting that means different things to two roles", () => {
    expect(() => mergeSettings(Object.values(allRoles).map(({ settings }) => settings))).not.toThrow();
    const [one, other] = ["1", "2"].map((fallback) => ({ X: setting.text("What X is.", fallback) }));
    expect(() => mergeSettings([one!, other!])).toThrow("X means one thing to one role");
  });
});
