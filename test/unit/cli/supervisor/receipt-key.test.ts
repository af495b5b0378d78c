// The key with which a local run signs receipts of deletions.
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { receiptKey, receiptPublicKeyFile } from "../../../../cli/supervisor/receipt-key.ts";
import { createReceiptSigner, verifyReceipt } from "../../../../libs/auth/receipts.ts";
import { AT } from "../../../kit/fixtures/sessions.ts";

let dataDir: string;
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "greenroom-receipts-"));
});
afterEach(() => rm(dataDir, { recursive: true, force: true }));

describe("receiptKey", () => {
  it("creates a key whose public half verifies receipts, also after a restart", async () => {
    const receipt = {
      ...{
        iss: "greenroom" as const,
        jti: "j",
        iat: 1,
        tenant: "t",
        kind: "tenant" as const,
        askedBy: "api",
      },
      ...{ askedAt: AT, startedAt: AT, finishedAt: AT, counts: { CALLS: 1 }, total: 1 },
    };
    const { GREENROOM_RECEIPT_PRIVATE_KEY } = await receiptKey({}, dataDir);
    const signer = createReceiptSigner({
      GREENROOM_RECEIPT_PRIVATE_KEY,
      GREENROOM_RECEIPT_SECRET: undefined,
      GREENROOM_RECEIPT_PUBLIC_KEY: undefined,
    });
    const jws = (await signer?.sign(receipt)) ?? "";
    expect(await receiptKey({}, dataDir)).toEqual({ GREENROOM_RECEIPT_PRIVATE_KEY });
    const key = await readFile(receiptPublicKeyFile(dataDir), "utf8");
    expect(await verifyReceipt(jws, { key })).toEqual(receipt);
  });

  it("makes the key readable by its owner only", async () => {
    const { GREENROOM_RECEIPT_PRIVATE_KEY = "" } = await receiptKey({}, dataDir);
    expect((await stat(GREENROOM_RECEIPT_PRIVATE_KEY)).mode & 0o777).toBe(0o600);
  });

  it("creates no key when one, or a secret, is configured", async () => {
    expect(await receiptKey({ GREENROOM_RECEIPT_SECRET: "one of their own" }, dataDir)).toEqual({});
    expect(await receiptKey({ GREENROOM_RECEIPT_PRIVATE_KEY: "/theirs.pem" }, dataDir)).toEqual({});
    await expect(stat(receiptPublicKeyFile(dataDir))).rejects.toThrow("ENOENT");
  });
});
