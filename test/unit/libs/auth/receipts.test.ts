// Receipts of deletions: their signature, and the check with the public key.
import { generateKeyPairSync } from "node:crypto";
import { describe, expect, test } from "vitest";
import { createReceiptSigner, type ReceiptConfig, verifyReceipt } from "../../../../libs/auth/receipts.ts";
import { AT } from "../../../kit/fixtures/sessions.ts";

const config = (changed: Partial<ReceiptConfig>): ReceiptConfig => ({
  GREENROOM_RECEIPT_PRIVATE_KEY: undefined,
  GREENROOM_RECEIPT_PUBLIC_KEY: undefined,
  GREENROOM_RECEIPT_SECRET: undefined,
  ...changed,
});
const SECRET = "a secret of two and thirty bytes!";

describe("a receipt", () => {
  const receipt = {
    ...{ iss: "greenroom" as const, jti: "j", iat: 1, tenant: "t", kind: "tenant" as const, askedBy: "api" },
    ...{ askedAt: AT, startedAt: AT, finishedAt: AT, counts: { CALLS: 1 }, total: 1 },
  };
  const { privateKey, publicKey } = generateKeyPairSync("ed25519", {
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
    publicKeyEncoding: { type: "spki", format: "pem" },
  });

  test("is signed with the private key and verified with the public one", async () => {
    const oneLine = privateKey.replaceAll("\n", "\\n");
    const signer = createReceiptSigner(config({ GREENROOM_RECEIPT_PRIVATE_KEY: oneLine }));
    const jws = (await signer?.sign(receipt)) ?? "";
    expect(await verifyReceipt(jws, { key: publicKey })).toEqual(receipt);
    expect(await verifyReceipt(jws, { key: privateKey })).toEqual(receipt);
    await expect(verifyReceipt(jws, { secret: SECRET })).rejects.toThrow("Set GREENROOM_RECEIPT_PUBLIC_KEY");
    const other = generateKeyPairSync("ed25519").publicKey.export({ type: "spki", format: "pem" }).toString();
    await expect(verifyReceipt(jws, { key: other })).rejects.toThrow("Invalid signature");
  });

  test("is not accepted when a secret signed it instead of the key", async () => {
    // The public key used as a secret, which deceives a verifier that trusts the header.
    const signer = createReceiptSigner(config({ GREENROOM_RECEIPT_SECRET: publicKey }));
    const jws = (await signer?.sign(receipt)) ?? "";
    await expect(verifyReceipt(jws, { key: publicKey })).rejects.toThrow("Set GREENROOM_RECEIPT_SECRET");
  });

  test("is not signed without a key, nor with an unusable one", () => {
    expect(createReceiptSigner(config({}))).toBeUndefined();
    expect(() => createReceiptSigner(config({ GREENROOM_RECEIPT_SECRET: "short" }))).toThrow("32 bytes");
    expect(() => createReceiptSigner(config({ GREENROOM_RECEIPT_PRIVATE_KEY: "/nowhere" }))).toThrow(
      "neither",
    );
    const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({
      type: "pkcs8",
      format: "pem",
    });
    expect(() => createReceiptSigner(config({ GREENROOM_RECEIPT_PRIVATE_KEY: rsa.toString() }))).toThrow(
      "rsa",
    );
  });
});
