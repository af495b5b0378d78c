// Settings from the environment: all faults at once, suggestions for misspelt names, and a frozen result.
import { describe, expect, test } from "vitest";
import { commonSettings } from "../../../../libs/runtime/common-settings.ts";
import { allSettingNames, ConfigError, readConfig, setting } from "../../../../libs/runtime/config.ts";

const settings = {
  GREENROOM_PORT: setting.integer("The port.", 8080, 1, 65_535),
  GREENROOM_NAME: setting.text("A name.", "green"),
  GREENROOM_MODE: setting.choice("How.", ["calm", "wild"], "calm"),
  GREENROOM_FAST: setting.flag("Whether it is fast."),
  LIVEKIT_URL: setting.optionalText("Where."),
  LIVEKIT_API_SECRET: setting.secret("The secret."),
};

const read = (env: Record<string, string | undefined>, known: string[] = []) =>
  readConfig(settings, env, known);

const faultsOf = (env: Record<string, string>, known: string[] = []): string => {
  try {
    read(env, known);
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    return (error as ConfigError).message;
  }
  throw new Error("these settings were accepted");
};

describe("readConfig", () => {
  test("uses defaults for missing and empty values", () => {
    const defaults = {
      GREENROOM_PORT: 8080,
      GREENROOM_NAME: "green",
      GREENROOM_MODE: "calm",
      GREENROOM_FAST: false,
      LIVEKIT_URL: undefined,
      LIVEKIT_API_SECRET: undefined,
    };
    expect(read({})).toEqual(defaults);
    expect(read({ GREENROOM_PORT: "", GREENROOM_NAME: "", LIVEKIT_URL: "", GREENROOM_FAST: "" })).toEqual(
      defaults,
    );
  });

  test("reads numbers, words and flags", () => {
    const env = { GREENROOM_PORT: "9000", GREENROOM_MODE: "wild", LIVEKIT_URL: "ws://x" };
    expect(read(env)).toMatchObject({ GREENROOM_PORT: 9000, GREENROOM_MODE: "wild", LIVEKIT_URL: "ws://x" });
    for (const [text, value] of Object.entries({ true: true, "1": true, false: false, "0": false })) {
      expect(read({ GREENROOM_FAST: text }).GREENROOM_FAST).toBe(value);
    }
  });

  test("freezes the result", () => {
    const config = read({});
    expect(Object.isFrozen(config)).toBe(true);
    expect(() => Object.assign(config, { GREENROOM_PORT: 1 })).toThrow(TypeError);
  });

  test("reports all faults at once, one on each line", () => {
    const message = faultsOf({
      GREENROOM_PORT: "99999",
      GREENROOM_MODE: "loud",
      GREENROOM_FAST: "yes",
      GREENROOM_PROT: "1",
    });
    const [head, ...lines] = message.split("\n");
    expect(head).toContain("Invalid settings");
    expect(lines).toHaveLength(4);
    for (const name of ["GREENROOM_PORT:", "GREENROOM_MODE:", "GREENROOM_FAST:", "GREENROOM_PROT "]) {
      expect(lines.filter((line) => line.includes(name))).toHaveLength(1);
    }
  });

  test.each(["1.5", "eight", "-1", "0", "NaN", "1e9"])("rejects %s as a port", (port) => {
    expect(faultsOf({ GREENROOM_PORT: port })).toContain("GREENROOM_PORT");
  });

  test("rejects unknown settings and suggests the nearest known name", () => {
    expect(faultsOf({ GREENROOM_PROT: "1" })).toContain(
      "GREENROOM_PROT is not a setting. Did you mean GREENROOM_PORT?",
    );
    expect(faultsOf({ GREENROOM_NAMES: "x" })).toContain("Did you mean GREENROOM_NAME?");
    expect(faultsOf({ GREENROOM_HOSTID: "x" }, ["GREENROOM_HOST_ID"])).toContain(
      "Did you mean GREENROOM_HOST_ID?",
    );
  });

  test("ignores settings of other services and other variables", () => {
    expect(() =>
      read({ GREENROOM_HOST_ID: "x", PATH: "/bin", GREEN: "1" }, ["GREENROOM_HOST_ID"]),
    ).not.toThrow();
  });

  test("rejects parsed settings with the parser's message", () => {
    const even = (text: string) => {
      if (text.length % 2 === 1) throw new Error(`"${text}" is odd`);
      return text.length;
    };
    const settings = { LENGTH: setting.parsed("Something.", even) };
    expect(readConfig(settings, { LENGTH: "four" }, [])).toEqual({ LENGTH: 4 });
    expect(readConfig(settings, {}, [])).toEqual({ LENGTH: 0 });
    expect(() => readConfig(settings, { LENGTH: "odd" }, [])).toThrow('LENGTH: "odd" is odd');
  });

  test("names a missing required setting", () => {
    expect(() => readConfig({ NATS_URL: setting.text("Where.") }, {}, [])).toThrow(/NATS_URL/);
  });

  test("shows no secret in a fault", () => {
    expect(faultsOf({ LIVEKIT_API_SECRET: "hush", GREENROOM_PORT: "x" })).not.toContain("hush");
    expect(settings.LIVEKIT_API_SECRET.secret).toBe(true);
  });
});

test("reads common settings from an empty environment, all of them with known names", () => {
  const config = readConfig(commonSettings, {});
  expect(config).toMatchObject({ NATS_URL: "nats://127.0.0.1:4222", GREENROOM_TENANT: "default" });
  const ownNames = Object.keys(commonSettings).filter((name) => name.startsWith("GREENROOM_"));
  expect(allSettingNames).toEqual(expect.arrayContaining(ownNames));
  expect(new Set(allSettingNames).size).toBe(allSettingNames.length);
});
