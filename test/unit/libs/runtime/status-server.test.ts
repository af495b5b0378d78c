// Metrics and health of a process that is no gateway.
import { describe, expect, test } from "vitest";
import { createLog, silentLog } from "../../../../libs/runtime/log.ts";
import { createMetrics } from "../../../../libs/runtime/metrics.ts";
import { type ProcessHealth, type RoleHealth, serveStatus } from "../../../../libs/runtime/status-server.ts";

const running: RoleHealth = { status: "running", restarts: 0 };
const failed: RoleHealth = { status: "failed", restarts: 2, reason: "no" };

const serve = (health: ProcessHealth = { isConnected: true, roles: {} }, port = 0, log = silentLog) =>
  serveStatus({ metrics: createMetrics("test"), health: () => health, port, bind: "127.0.0.1" }, log);

describe("the status server", () => {
  test("serves the metrics", async () => {
    const answer = await fetch(`${await serve()}/metrics`);
    expect(answer.status).toBe(200);
    expect(answer.headers.get("content-type")).toContain("text/plain");
    expect(await answer.text()).toContain('greenroom_up{service="test"} 1');
  });

  test.each<[string, number, ProcessHealth]>([
    ["running", 200, { isConnected: true, roles: { calls: running } }],
    ["degraded", 200, { isConnected: true, roles: { calls: running, webhooks: failed } }],
    ["failed", 503, { isConnected: false, roles: { calls: running } }],
  ])("answers that the process is %s, with the state of each role", async (status, code, health) => {
    const answer = await fetch(`${await serve(health)}/health`);
    expect(answer.status).toBe(code);
    const nats = health.isConnected ? "connected" : "away";
    expect(await answer.json()).toEqual({ status, nats, roles: health.roles });
  });

  test("answers nothing else", async () => {
    const url = await serve();
    expect((await fetch(`${url}/`)).status).toBe(404);
    expect((await fetch(`${url}/metrics`, { method: "POST" })).status).toBe(404);
  });

  test("logs that its port is taken, without an error for the process", async () => {
    const { port } = new URL((await serve()) ?? "");
    const lines: string[] = [];
    const log = createLog("test", "info", { write: (line) => lines.push(line) });
    expect(await serve(undefined, Number(port), log)).toBeUndefined();
    expect(lines.join()).toContain("GREENROOM_METRICS_PORT");
  });
});
