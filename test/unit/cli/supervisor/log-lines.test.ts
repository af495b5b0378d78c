// The common log, and the banner.
import { expect, test } from "vitest";
import { bannerText, isSettled } from "../../../../cli/supervisor/banner.ts";
import { createLineLogger, errorOf, type LogRecord, recordOf } from "../../../../cli/supervisor/log-lines.ts";
import { createFormat } from "../../../../cli/supervisor/pretty.ts";

const now = () => "2026-01-31T12:00:00.000Z";
const record = (service: string, line: string, isError = false) => recordOf(service, line, isError, now);

test("keeps a service's own line", () => {
  const line = { level: "warn", time: "2026-01-01T00:00:00.000Z", service: "gateway", pid: 7, msg: "slow" };
  expect(record("gateway", JSON.stringify(line))).toEqual(line);
});

test("reads the level of a nats-server line, and demotes its greeting to debug", () => {
  expect(record("nats", "[12] 2026/11/20 22:40:55.123456 [WRN] disk is full", true)).toEqual({
    level: "warn",
    time: now(),
    service: "nats",
    msg: "disk is full",
  });
  expect(record("nats", "[12] 2026/11/20 22:40:55.123456 [INF] Server is ready", true).level).toBe("debug");
});

test("keeps the fields of a livekit-server line, under Greenroom's names", () => {
  const line = '{"level":"error","ts":1795214094.2,"logger":"livekit","msg":"no port","port":7880}';
  expect(record("livekit", line)).toEqual({
    level: "error",
    time: now(),
    service: "livekit",
    logger: "livekit",
    msg: "no port",
    port: 7880,
  });
});

test.each(["plain words", '{"broken":', "{}", "[12] not of NATS"])("wraps %j as text", (line) => {
  expect(record("janitor", line)).toEqual({ level: "info", time: now(), service: "janitor", msg: line });
  expect(record("janitor", line, true).level).toBe("warn");
});

test("includes an error's cause, and has none for an ordinary line", () => {
  const fatal = { level: "fatal", time: now(), service: "gateway", msg: "failed to start" };
  expect(errorOf({ ...fatal, error: { message: "port in use" } }, false)).toBe(
    "failed to start: port in use",
  );
  expect(errorOf({ ...fatal, error: "port in use" }, false)).toBe("failed to start: port in use");
  expect(errorOf(fatal, false)).toBe("failed to start");
  expect(errorOf({ ...fatal, level: "info" }, false)).toBeUndefined();
});

test("omits lines below the chosen level, but returns their errors", () => {
  const written: LogRecord[] = [];
  const takeLine = createLineLogger((line) => written.push(line), "fatal");
  expect(takeLine("livekit", '{"level":"error","msg":"no port"}', false)).toBe("no port");
  expect(written).toEqual([]);
  takeLine("livekit", '{"level":"fatal","msg":"gone"}', false);
  expect(written.map(({ msg }) => msg)).toEqual(["gone"]);
});

test("shows service and message in one pretty line", () => {
  const format = createFormat({ isPretty: true, hasColor: false });
  const text = format({
    level: "info",
    time: now(),
    service: "dispatcher",
    pid: 7,
    msg: "sent",
    host: "host-1",
  });
  expect(text).toMatch(/INFO.*dispatcher +sent.*host-1.*\n$/);
  expect(text.trim()).not.toContain("\n");
  expect(text).not.toContain("\u001b");
});

test("writes one JSON object for each line unless on a terminal", () => {
  const format = createFormat({ isPretty: false, hasColor: false });
  const line = { level: "info", time: now(), service: "nats", msg: "two\nlines" };
  expect(format(line)).toBe(`${JSON.stringify(line)}\n`);
});

const facts = {
  apiUrl: "http://localhost:8080",
  natsUrl: "nats://127.0.0.1:4222",
  livekitUrl: "ws://127.0.0.1:7880",
  isSimulated: false,
  dataDir: "/data",
  health: undefined,
};

test("ends the banner with a command to paste and the page to open", () => {
  const lines = bannerText(facts)
    .split("\n")
    .map((line) => line.trim());
  expect(lines.slice(-3)).toEqual([
    "curl -X POST http://localhost:8080/api/session/start",
    "Talk with an agent: open the page",
    "http://localhost:8080/",
  ]);
});

test("lists running profiles in the banner, and why others are disabled", () => {
  const counts = { warm: 2, hot: 1, warming: 0, busy: 0, max: 9 };
  const none = { warm: 0, hot: 0, warming: 0, busy: 0, max: 0 };
  const health = {
    sessions: { ready: 0, starting: 0, pool: 3, total: 0 },
    services: {} as never,
    profiles: {
      echo: { status: "running" as const, ...counts },
      assistant: { status: "disabled" as const, error: "OPENAI_API_KEY is not set", ...none },
      support: { status: "unknown" as const, reason: "No worker has taken a job lately.", ...none },
    },
  };
  const text = bannerText({ ...facts, health });
  expect(text).toMatch(/^Greenroom is ready/);
  expect(text).toContain("echo       running: 3 warm agents (1 hot)");
  expect(text).toContain("assistant  disabled: OPENAI_API_KEY is not set");
  expect(text).toContain("support    unknown: No worker has taken a job lately.");
});

test("calls only ready services ready in the banner", () => {
  expect(bannerText(facts)).not.toContain("Greenroom is ready");
  expect(bannerText({ ...facts, livekitUrl: undefined })).toContain("LiveKit   none");
  expect(bannerText({ ...facts, isSimulated: true })).toContain("LiveKit   simulated rooms");
});

test("names each of several processes of one service in the log", () => {
  const line = '{"level":"info","time":"t","service":"gateway","msg":"running"}';
  expect(record("gateway", line).service).toBe("gateway");
  expect(record("gateway-2", line)).toMatchObject({ service: "gateway-2", msg: "running" });
  expect(record("nats-3", "[1] 2026/01/01 00:00:00.000001 [WRN] slow")).toMatchObject({
    service: "nats-3",
    level: "warn",
    msg: "slow",
  });
});

test("demotes a NATS node's failed connection to a missing node to debug", () => {
  const line = "[1] 2026/01/01 00:00:00.000001 [ERR] Error trying to connect to route (attempt 1): refused";
  expect(record("nats-1", line).level).toBe("debug");
  expect(record("nats-1", line.replace("connect to route", "write")).level).toBe("error");
});

test("lists every gateway and NATS node of a cluster in the banner", () => {
  const natsUrl = "nats://127.0.0.1:4222,nats://127.0.0.1:4223";
  const text = bannerText({ ...facts, natsUrl, moreApiUrls: ["http://localhost:8081"] });
  const lines = text.split("\n").map((line) => line.trim());
  expect(lines).toContain("http://localhost:8081");
  expect(lines).toContain("NATS      nats://127.0.0.1:4222");
  expect(lines).toContain("nats://127.0.0.1:4223");
});

test("waits for everything that the banner reports", () => {
  const none = { warm: 0, hot: 0, warming: 0, busy: 0, max: 9 };
  const running = { status: "running" as const, ...none };
  const health = (profiles: object, livekit = "running") =>
    ({ sessions: { pool: 1 }, services: { livekit: { status: livekit } }, profiles }) as never;
  expect(isSettled(health({ echo: { ...running, warm: 1 }, cold: running }))).toBe(true);
  expect(isSettled(health({ echo: { ...running, warm: 1 } }, "stopped"))).toBe(false);
  expect(isSettled(health({ echo: { ...running, warm: 1 }, slow: { ...running, warming: 1 } }))).toBe(false);
  expect(isSettled(health({ echo: { ...running, warm: 1 }, slow: { ...none, status: "stopped" } }))).toBe(
    false,
  );
});
