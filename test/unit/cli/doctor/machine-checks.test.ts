// Checks of Node, limits, disk and ports.
import { describe, expect, test } from "vitest";
import type { Finding } from "../../../../cli/doctor/check.ts";
import {
  diskCheck,
  limitsCheck,
  limitsOf,
  nodeCheck,
  type PortFacts,
  portsCheck,
} from "../../../../cli/doctor/machine-checks.ts";

const levels = (findings: readonly Finding[]) => findings.map(({ level }) => level);
const text = (findings: readonly Finding[]) =>
  findings.map(({ message: description, todo }) => `${description} ${todo ?? ""}`).join("\n");

describe("checks of the machine", () => {
  test("requires a recent Node", () => {
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
    const free = (freeBytes: number) => levels(diskCheck.judge({ kind: "own", dataDir: "/data", freeBytes }));
    expect(free(2 ** 20)).toEqual(["failure"]);
    expect(free(2 * 2 ** 30)).toEqual(["warning"]);
    expect(free(20 * 2 ** 30)).toEqual(["ok"]);
    expect(levels(diskCheck.judge({ kind: "unknown" }))).toEqual(["skipped"]);
    const other = { kind: "other", monitorUrl: "http://nats:8222", maxBytes: 100 } as const;
    const used = (usedBytes: number) => levels(diskCheck.judge({ ...other, usedBytes }));
    expect([used(80), used(81), used(96)]).toEqual([["ok"], ["warning"], ["failure"]]);
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
});
