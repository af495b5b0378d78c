// The `pool` export of an agent file: an unknown key is refused, with the key that was probably meant.
import { describe, expect, test } from "vitest";
import { renamedPoolKeys } from "../../../../../../libs/runtime/renamed-settings.ts";
import { poolExportOf } from "../../../../../../services/agent-host/agent-process/loading/pool-export.ts";

describe("the pool export of an agent file", () => {
  test("may contain any of the four settings, or be missing", () => {
    const pool = { min: 3, hot: 1, max: 50, perProcess: 10 };
    expect(poolExportOf({ pool })).toEqual(pool);
    expect(poolExportOf({ pool: { min: 0 } })).toEqual({ min: 0 });
    expect(poolExportOf({})).toEqual({});
  });

  test("is refused if it is not an object", () => {
    expect(() => poolExportOf({ pool: 3 })).toThrow("the pool export is invalid: it must be an object.");
  });

  test("is refused with the successor of a renamed key", () => {
    const [oldKey = ""] = Object.keys(renamedPoolKeys);
    expect(() => poolExportOf({ pool: { min: 1, [oldKey]: 10 } })).toThrow(
      `the pool export is invalid: ${oldKey} was renamed to perProcess.`,
    );
  });

  test("is refused with the nearest known key for each unknown one", () => {
    expect(() => poolExportOf({ pool: { maximum: 5, perProces: 10 } })).toThrow(
      "maximum is not a pool setting. Did you mean max? perProces is not a pool setting. Did you mean perProcess?",
    );
  });
});
