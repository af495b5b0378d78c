// The settings that another machine needs for a host.
import { describe, expect, test } from "vitest";
import { hostEnv, lineOf } from "../../../../cli/host-env/host-env.ts";

const local = {
  natsUrl: "nats://127.0.0.1:4222",
  monitorUrl: undefined,
  livekit: { url: "ws://127.0.0.1:7880", apiKey: "APIlocal", apiSecret: "secret" },
};
const nothing = { natsUrl: undefined, monitorUrl: undefined, livekit: undefined };
const given = {
  NATS_URL: "nats://10.0.0.1:4222,nats://10.0.0.2:4222",
  LIVEKIT_URL: "wss://mine.livekit.cloud",
  LIVEKIT_API_KEY: "APIgiven",
  LIVEKIT_API_SECRET: "given",
};

describe("hostEnv", () => {
  test("prefers the environment, and has only what a host needs", () => {
    const { env, warnings, missing } = hostEnv({ ...given, GREENROOM_TENANT: "acme", HOME: "/root" }, local);
    expect(env).toEqual({ ...given, GREENROOM_TENANT: "acme" });
    expect([warnings, missing]).toEqual([[], []]);
  });

  test("finds the servers of this machine, and warns of addresses that another one can't reach", () => {
    const { env, warnings } = hostEnv({}, local);
    expect(env).toEqual({
      NATS_URL: "nats://127.0.0.1:4222",
      LIVEKIT_URL: "ws://127.0.0.1:7880",
      LIVEKIT_API_KEY: "APIlocal",
      LIVEKIT_API_SECRET: "secret",
    });
    expect(warnings.map((warning) => warning.split(":")[0])).toEqual(["NATS_URL", "LIVEKIT_URL"]);
  });

  test.each([
    "nats://localhost:4222",
    "nats://10.0.0.1:4222,127.0.0.2",
    "nats://[::1]:4222",
    "nats://0.0.0.0:4222",
  ])("warns of %s", (url) => {
    expect(hostEnv({ ...given, NATS_URL: url }, local).warnings).toHaveLength(1);
  });

  test("warns of an address that is none, without showing its password", () => {
    const { warnings } = hostEnv({ ...given, NATS_URL: "nats://user:pass word@[::" }, local);
    expect(warnings).toEqual(["NATS_URL: is not a valid address."]);
  });

  test("names what is missing, and takes no key of another LiveKit", () => {
    const { env, missing } = hostEnv({ LIVEKIT_URL: "wss://mine.livekit.cloud" }, local);
    expect(env).not.toHaveProperty("LIVEKIT_API_KEY");
    expect(missing).toEqual(["LIVEKIT_API_KEY", "LIVEKIT_API_SECRET"]);
    expect(hostEnv({}, nothing).missing).toHaveLength(4);
  });
});

test("quotes values for a shell", () => {
  expect(lineOf(["NATS_URL", "nats://a:4222,nats://b:4222"])).toBe("NATS_URL=nats://a:4222,nats://b:4222");
  expect(lineOf(["SECRET", "c2VjcmV0=="])).toBe("SECRET=c2VjcmV0==");
  expect(lineOf(["SECRET", "a b'c$d"])).toBe("SECRET='a b'\\''c$d'");
});
