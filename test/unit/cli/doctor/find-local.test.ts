// Servers that npm start runs, found by their configuration.
import { describe, expect, test } from "vitest";
import { livekitOf, natsAddresses } from "../../../../cli/doctor/find-local.ts";
import { natsConfigText } from "../../../../cli/servers/nats.ts";

describe("natsAddresses and livekitOf", () => {
  test("finds the servers that npm start runs by their configuration", () => {
    const layout = { dir: "/data", port: 4300, monitorPort: 8300, syncInterval: "1s" };
    expect(natsAddresses(natsConfigText(layout))).toEqual({
      listen: "127.0.0.1:4300",
      http: "http://127.0.0.1:8300",
    });
    const cluster = { nodeName: "n1", clusterName: "c", routePort: 6222, routes: [] };
    expect(natsAddresses(natsConfigText({ ...layout, cluster })).listen).toBe("127.0.0.1:4300");
    expect(livekitOf(JSON.stringify({ port: 7880, keys: { key: "secret" } }))).toEqual({
      url: "ws://127.0.0.1:7880",
      apiKey: "key",
      apiSecret: "secret",
    });
    expect(livekitOf("port: 7880\n")).toBeUndefined();
  });
});
