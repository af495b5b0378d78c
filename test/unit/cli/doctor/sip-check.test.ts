// The check of phone calls by SIP.
import { describe, expect, test } from "vitest";
import type { Finding } from "../../../../cli/doctor/check.ts";
import { sipCheck, trunksIn } from "../../../../cli/doctor/sip-check.ts";
import { parseProviderRules } from "../../../../libs/contracts/providers/provider-rules.ts";

const levels = (findings: readonly Finding[]) => findings.map(({ level }) => level);
const text = (findings: readonly Finding[]) =>
  findings.map(({ message: description, todo }) => `${description} ${todo ?? ""}`).join("\n");

describe("checks of phone calls", () => {
  const rules = parseProviderRules("sales=sip, support=sip:ST_own, legacy=webhook");

  test("assigns a profile to its own trunk, else to the common one", () => {
    expect(trunksIn(rules, "ST_all")).toEqual({
      trunks: [
        { id: "ST_all", usedBy: ["GREENROOM_SIP_TRUNK", "sales"] },
        { id: "ST_own", usedBy: ["support"] },
      ],
      without: [],
    });
    expect(trunksIn(rules, undefined)).toEqual({
      trunks: [{ id: "ST_own", usedBy: ["support"] }],
      without: ["sales"],
    });
    expect(trunksIn([], "")).toEqual({ trunks: [], without: [] });
  });

  test("requires a trunk that LiveKit has", () => {
    const trunks = trunksIn(rules, "ST_all");
    expect(levels(sipCheck.judge({ ...trunks, known: ["ST_all", "ST_own"] }))).toEqual(["ok", "ok"]);
    const other = sipCheck.judge({ ...trunks, known: ["ST_own", "ST_x"] });
    expect(levels(other)).toEqual(["warning", "ok"]);
    expect(text(other)).toContain("Known: ST_own, ST_x.");
    const without = sipCheck.judge({ ...trunksIn(rules, undefined), known: ["ST_own"] });
    expect(levels(without)).toEqual(["failure", "ok"]);
    expect(text(without)).toContain("sales=sip:ST_");
  });

  test("requires LiveKit SIP, or nothing without phone calls", () => {
    const refused = sipCheck.judge({ ...trunksIn(rules, "ST_all"), refusal: "sip not connected" });
    expect(levels(refused)).toEqual(["failure"]);
    expect(text(refused)).toMatch(/sip not connected.*livekit-sip/s);
    expect(levels(sipCheck.judge(trunksIn([], undefined)))).toEqual(["skipped"]);
  });
});
