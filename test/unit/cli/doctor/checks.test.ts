// The doctor's judgement of the machine, the settings and the agent files, and the order of its checks.
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { agentsCheck, keysCheck, poolFaultsOf } from "../../../../cli/doctor/agent-checks.ts";
import { type Check, check, type Finding, failure, ok, warning } from "../../../../cli/doctor/check.ts";
import { livekitOf, natsAddresses } from "../../../../cli/doctor/find-local.ts";
import {
  diskCheck,
  limitsCheck,
  limitsOf,
  nodeCheck,
  type PortFacts,
  portsCheck,
} from "../../../../cli/doctor/machine-checks.ts";
import { listeningInodes } from "../../../../cli/doctor/port-holder.ts";
import { jsonOf, resultText, summaryOf } from "../../../../cli/doctor/print.ts";
import { programsCheck } from "../../../../cli/doctor/program-checks.ts";
import { providers, providersIn, tryKey } from "../../../../cli/doctor/provider-keys.ts";
import { type CheckResult, runChecks } from "../../../../cli/doctor/run-checks.ts";
import { settingFaults } from "../../../../cli/doctor/settings-check.ts";
import { openSources } from "../../../../cli/doctor/sources.ts";
import { allChecks } from "../../../../cli/doctor/table.ts";
import { natsConfigText } from "../../../../cli/servers/nats.ts";

const levels = (findings: readonly Finding[]) => findings.map(({ level }) => level);
const text = (findings: readonly Finding[]) =>
  findings.map(({ message: description, todo }) => `${description} ${todo ?? ""}`).join("\n");

describe("runChecks", () => {
  const quick = (name: string, findings: Finding[], needs: string[] = []): Check<object> =>
    check({
      ...{ name, title: name, timeoutMs: 1000, needs, todo: "Do it." },
      observe: async () => findings,
      judge: (seen: Finding[]) => seen,
    });
  const run = async (checks: Check<object>[]) => {
    const started: string[] = [];
    const results = await runChecks(checks, {}, ({ name }) => started.push(name));
    expect(started).toEqual(checks.map(({ name }) => name));
    return Object.fromEntries(results.map((result) => [result.name, result]));
  };

  test("runs checks in order, and skips those whose needs failed or were skipped", async () => {
    const results = await run([
      quick("a", [failure("Broken.", "Mend it.")]),
      quick("b", [ok("Good.")], ["a"]),
      quick("c", [ok("Good.")], ["b"]),
      quick("d", [warning("Odd.", "Look."), ok("Else well.")]),
      quick("e", [ok("Good.")], ["d"]),
    ]);
    expect(Object.values(results).map(({ level }) => level)).toEqual([
      "failure",
      "skipped",
      "skipped",
      "warning",
      "ok",
    ]);
    expect(results.c?.findings[0]?.message).toContain('"b"');
  });

  test("limits the time of each check, so that one that hangs fails and delays no other", async () => {
    let aborted = false;
    const hanging: Check<object> = check({
      ...{ name: "hangs", title: "hangs", timeoutMs: 30, todo: "Wake it." },
      observe: (_: object, signal) => {
        signal.addEventListener("abort", () => {
          aborted = true;
        });
        return new Promise<never>(() => {});
      },
      judge: () => [],
    });
    const results = await run([hanging, quick("next", [ok("Here.")])]);
    expect(results.hangs?.findings).toEqual([failure("No answer within 0.03 s.", "Wake it.")]);
    expect(aborted).toBe(true);
    expect(results.next?.level).toBe("ok");
  });

  test("reports what a check throws as its failure, with what to do", async () => {
    const throwing: Check<object> = check({
      ...{ name: "throws", title: "throws", timeoutMs: 1000, todo: "Mend it." },
      observe: async (_: object): Promise<never> => {
        throw new Error("the wire is cut");
      },
      judge: () => [],
    });
    expect((await run([throwing])).throws?.findings).toEqual([failure("the wire is cut.", "Mend it.")]);
  });

  test("has a table with unique names, needs in order, and a time for each check", () => {
    const seen: string[] = [];
    for (const { name, needs = [], timeoutMs } of allChecks) {
      expect(seen).not.toContain(name);
      for (const need of needs) expect(seen).toContain(need);
      expect(timeoutMs).toBeGreaterThan(0);
      seen.push(name);
    }
  });
});

describe("the doctor's output", () => {
  const results: CheckResult[] = [
    { name: "a", title: "A", level: "ok", findings: [ok("Well.")], tookMs: 1 },
    { name: "b", title: "B", level: "failure", findings: [failure("Broken.", "Mend it.")], tookMs: 1 },
  ];

  test("has one line for each check, with what to do below, and colors on demand", () => {
    expect(resultText(results[1]!, false)).toBe("FAILURE  B: Broken.\n         → Mend it.");
    expect(resultText(results[1]!, true)).toContain("\u001b[31m");
  });

  test("summarizes failures and warnings, also as JSON", () => {
    expect(summaryOf(results)).toBe("1 failure.");
    expect(summaryOf(results.slice(0, 1))).toBe("All checks passed.");
    const odd = { ...results[0]!, level: "warning" as const, findings: [warning("Odd.", "Look.")] };
    expect(summaryOf([odd, odd])).toBe("No failures, 2 warnings.");
    expect(JSON.parse(jsonOf(results))).toMatchObject({ ok: false, summary: "1 failure." });
    expect(JSON.parse(jsonOf([odd]))).toMatchObject({ ok: true });
  });
});

describe("checks of the machine", () => {
  test("requires a new Node", () => {
    expect(levels(nodeCheck.judge({ version: "18.20.1", platform: "linux x64" }))).toEqual(["failure"]);
    expect(levels(nodeCheck.judge({ version: "20.19.0", platform: "linux x64" }))).toEqual(["ok"]);
    expect(levels(nodeCheck.judge({ version: "24.1.0", platform: "linux x64" }))).toEqual(["ok"]);
  });

  test("reads limits from their table, and warns about low ones", () => {
    const table = [
      "Limit                     Soft Limit           Hard Limit           Units     ",
      "Max processes             96365                96365                processes ",
      "Max open files            1024                 1048576              files     ",
    ].join("\n");
    expect(limitsOf(table)).toEqual({ openFiles: 1024, processes: 96_365 });
    expect(limitsOf(table.replace("96365 ", "unlimited "))?.processes).toBe(Number.POSITIVE_INFINITY);
    expect(limitsOf("")).toBeUndefined();
    expect(levels(limitsCheck.judge({ openFiles: 1024, processes: 96_365 }))).toEqual(["warning"]);
    expect(levels(limitsCheck.judge({ openFiles: 256, processes: 100 }))).toEqual(["failure", "failure"]);
    expect(levels(limitsCheck.judge({ openFiles: 20_000, processes: Number.POSITIVE_INFINITY }))).toEqual([
      "ok",
    ]);
    expect(levels(limitsCheck.judge(undefined))).toEqual(["skipped"]);
  });

  test("requires free space for NATS's data, if that is on this machine", () => {
    const free = (freeBytes: number) => levels(diskCheck.judge({ dataDir: "/data", freeBytes }));
    expect(free(2 ** 20)).toEqual(["failure"]);
    expect(free(2 * 2 ** 30)).toEqual(["warning"]);
    expect(free(20 * 2 ** 30)).toEqual(["ok"]);
    expect(levels(diskCheck.judge(undefined))).toEqual(["skipped"]);
  });

  test("requires a port for the gateway, or names its holder", () => {
    const gateway: PortFacts = {
      service: "gateway",
      port: 8080,
      isFree: false,
      isOurs: false,
      holder: undefined,
    };
    const taken = portsCheck.judge([{ ...gateway, holder: { pid: 7, program: "apache2" } }]);
    expect(levels(taken)).toEqual(["failure"]);
    expect(text(taken)).toContain("apache2 (process 7)");
    expect(levels(portsCheck.judge([gateway]))).toEqual(["failure"]);
    expect(levels(portsCheck.judge([{ ...gateway, isOurs: true }]))).toEqual(["ok"]);
    expect(levels(portsCheck.judge([{ ...gateway, isFree: true }]))).toEqual(["ok"]);
    // `npm start` chooses another port for these two.
    expect(levels(portsCheck.judge([{ ...gateway, service: "NATS", port: 4222 }]))).toEqual(["ok"]);
  });

  test("finds sockets that listen on a port, not those connected to it", () => {
    const table = [
      "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode",
      "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100",
      "   1: 0100007F:1F90 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 100",
      "   2: 0100007F:D431 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 4713 1 0 100",
    ].join("\n");
    expect(listeningInodes(table, 8080)).toEqual(["4711"]);
    expect(listeningInodes(table, 4222)).toEqual([]);
  });

  test("accepts the servers' programs, or a download unless that is disabled", () => {
    const program = {
      ...{ name: "nats-server", version: "2.15.2", isNeeded: true, path: undefined, problem: undefined },
      mayDownload: true,
    };
    expect(levels(programsCheck.judge([program]))).toEqual(["ok"]);
    expect(levels(programsCheck.judge([{ ...program, mayDownload: false }]))).toEqual(["warning"]);
    expect(levels(programsCheck.judge([{ ...program, problem: "GREENROOM_NATS_SERVER is x" }]))).toEqual([
      "failure",
    ]);
    expect(levels(programsCheck.judge([{ ...program, isNeeded: false }]))).toEqual(["skipped"]);
  });

  test("reports each fault of any service's settings once", () => {
    expect(settingFaults({})).toEqual([]);
    const faults = settingFaults({ GREENROOM_PROT: "8080", GREENROOM_MAX_ATTEMPTS: "none" });
    expect(faults).toHaveLength(2);
    expect(faults.join()).toContain("Did you mean GREENROOM_PORT?");
    expect(faults.join()).toContain("GREENROOM_MAX_ATTEMPTS");
  });

  test("uses defaults for invalid settings", async () => {
    const sources = await openSources({ GREENROOM_PORT: "many", NATS_URL: "nats://10.0.0.1:4222" }, false);
    expect(sources.config.GREENROOM_PORT).toBe(8080);
    expect(sources.natsUrl).toBe("nats://10.0.0.1:4222");
    expect(sources.isNatsGiven).toBe(true);
  });
});

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

describe("checks of agent files and keys", () => {
  test("classifies agent files as warm, disabled or broken", () => {
    const warm = { profile: "a", file: "/a.ts", outcome: "warm", tookMs: 5, poolFaults: [] } as const;
    const judge = (agents: Parameters<typeof agentsCheck.judge>[0]["agents"]) =>
      agentsCheck.judge({ folder: "agents", agents });
    expect(levels(judge([warm]))).toEqual(["ok"]);
    expect(levels(judge([]))).toEqual(["warning"]);
    expect(levels(judge([{ ...warm, poolFaults: poolFaultsOf({ min: -1 }) }]))).toEqual(["failure"]);
    const { profile, file } = warm;
    expect(levels(judge([{ profile, file, outcome: "failed", reason: "it throws" }]))).toEqual(["failure"]);
    expect(levels(judge([{ profile, file, outcome: "disabled", reason: "a key" }]))).toEqual(["warning"]);
  });

  test("accepts a pool export with omissions, not with errors", () => {
    expect(poolFaultsOf({ min: 3, hot: 1 })).toEqual([]);
    expect(poolFaultsOf({})).toEqual([]);
    expect(poolFaultsOf({ min: "three" }).join()).toContain("min");
  });

  test("finds the providers whose keys the files need", () => {
    const files = [
      { profile: "talks", text: 'import * as openai from "@livekit/agents-plugin-openai";' },
      { profile: "hears", text: "process.env.DEEPGRAM_API_KEY" },
      { profile: "plays", text: "nothing" },
    ];
    const used = providersIn(files, { GREENROOM_PROVIDERS: "legacy=vapi:abc, other=livekit" });
    expect(used.map(({ provider, usedBy }) => [provider.key, usedBy])).toEqual([
      ["OPENAI_API_KEY", ["talks"]],
      ["DEEPGRAM_API_KEY", ["hears"]],
      ["GREENROOM_VAPI_KEY", ["legacy"]],
    ]);
  });

  test("classifies a key as missing, untried, accepted, refused or unreachable", () => {
    const key = { name: "K", provider: "P", usedBy: ["a"], isSet: true };
    const judge = (isSet: boolean, answer: Parameters<typeof keysCheck.judge>[0][number]["answer"]) =>
      levels(keysCheck.judge([{ ...key, isSet, answer }]));
    expect(judge(false, undefined)).toEqual(["warning"]);
    expect(judge(true, undefined)).toEqual(["skipped"]);
    expect(judge(true, { kind: "accepted" })).toEqual(["ok"]);
    expect(judge(true, { kind: "rejected", status: 401 })).toEqual(["failure"]);
    expect(judge(true, { kind: "unexpected", status: 500 })).toEqual(["warning"]);
    expect(judge(true, { kind: "unreachable", reason: "no route" })).toEqual(["failure"]);
    expect(levels(keysCheck.judge([]))).toEqual(["ok"]);
  });
});

describe("tryKey", () => {
  let server: Server | undefined;
  afterEach(() => server?.close());

  test("tries the key at the configured address, in the request's header", async () => {
    const requests: (string | undefined)[] = [];
    server = createServer((request, response) => {
      requests.push(`${request.url} ${request.headers.authorization}`);
      response.statusCode = request.headers.authorization?.endsWith("good") ? 200 : 401;
      response.end("{}");
    });
    await new Promise<void>((resolve) => server?.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const [openai, deepgram] = providers;
    const signal = new AbortController().signal;
    const env = { OPENAI_BASE_URL: `http://127.0.0.1:${port}/v1`, OPENAI_API_KEY: "good" };
    expect(await tryKey(openai!, env, signal)).toEqual({ kind: "accepted" });
    const other = { DEEPGRAM_BASE_URL: `ws://127.0.0.1:${port}/v1/listen`, DEEPGRAM_API_KEY: "bad" };
    expect(await tryKey(deepgram!, other, signal)).toEqual({ kind: "rejected", status: 401 });
    expect(requests).toEqual(["/v1/models Bearer good", "/v1/projects Token bad"]);
  });
});
