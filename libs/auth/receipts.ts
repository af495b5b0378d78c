// Receipts of deletions: signed JWS documents that anyone with the key can verify at any later time.
import { createHash, createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { readFileSync } from "node:fs";
import { CompactSign, compactVerify, decodeProtectedHeader } from "jose";
import { messageOf } from "../contracts/errors.ts";
import { DeletionReceipt } from "../contracts/privacy/deletion.ts";
import { ConfigError, type ConfigOf, setting } from "../runtime/config.ts";

export const receiptSettings = {
  GREENROOM_RECEIPT_PRIVATE_KEY: setting.secret(
    "Ed25519 private key that signs receipts of deletions with EdDSA: a PEM, or the path of a file with one.",
  ),
  GREENROOM_RECEIPT_SECRET: setting.secret(
    "Secret that signs receipts with HS256 if there is no private key, at least 32 bytes. It is also needed to verify them.",
  ),
  GREENROOM_RECEIPT_PUBLIC_KEY: setting.optionalText(
    "Public key with which `npm run verify-receipt` verifies receipts. No service needs it.",
  ),
};
export type ReceiptConfig = ConfigOf<typeof receiptSettings>;

const SECRET_BYTES_MIN = 32;
const TYPE = "greenroom-deletion+jws";

export interface ReceiptSigner {
  sign(receipt: DeletionReceipt): Promise<string>;
}

/**
 * @returns undefined if neither a key nor a secret is set; deletion jobs then have no receipt
 * @throws ConfigError if the key can't be read or the secret is too short
 */
export function createReceiptSigner(config: ReceiptConfig): ReceiptSigner | undefined {
  const { GREENROOM_RECEIPT_PRIVATE_KEY: key, GREENROOM_RECEIPT_SECRET: secret } = config;
  if (key !== undefined) {
    const privateKey = privateKeyOf(key);
    const kid = keyIdOf(createPublicKey(privateKey));
    return { sign: (receipt) => signedReceipt(receipt, { alg: "EdDSA", kid }, privateKey) };
  }
  if (secret === undefined) return undefined;
  const bytes = secretOf(secret);
  return { sign: (receipt) => signedReceipt(receipt, { alg: "HS256" }, bytes) };
}

const signedReceipt = (
  receipt: DeletionReceipt,
  header: { alg: string; kid?: string },
  key: KeyObject | Uint8Array,
): Promise<string> =>
  new CompactSign(new TextEncoder().encode(JSON.stringify(receipt)))
    .setProtectedHeader({ ...header, typ: TYPE })
    .sign(key);

/**
 * Verifies a receipt and returns its content.
 *
 * The receipt's algorithm selects the key, and each key is used with its own algorithm only.
 * @param by.key a PEM of the public or private key
 * @throws Error with the reason
 */
export async function verifyReceipt(
  jws: string,
  by: { readonly key?: string | undefined; readonly secret?: string | undefined },
): Promise<DeletionReceipt> {
  const { alg } = headerOf(jws);
  const key = keyFor(alg, by);
  let payload: Uint8Array;
  try {
    ({ payload } = await compactVerify(jws, key, { algorithms: [alg] }));
  } catch (error) {
    throw new Error(`Invalid signature: the receipt was changed, or the key is wrong (${messageOf(error)}).`);
  }
  return DeletionReceipt.parse(JSON.parse(new TextDecoder().decode(payload)));
}

function headerOf(jws: string): { alg: "EdDSA" | "HS256" } {
  let header: { alg?: string; typ?: string };
  try {
    header = decodeProtectedHeader(jws);
  } catch {
    throw new Error("Not a receipt. Expected three base64url parts separated by dots.");
  }
  if (header.typ !== TYPE) throw new Error("Signed, but not a receipt of a deletion.");
  if (header.alg !== "EdDSA" && header.alg !== "HS256")
    throw new Error(`Unsupported algorithm ${header.alg}. Receipts use EdDSA or HS256.`);
  return { alg: header.alg };
}

function keyFor(
  alg: "EdDSA" | "HS256",
  { key, secret }: { key?: string | undefined; secret?: string | undefined },
) {
  if (alg === "HS256") {
    if (secret === undefined)
      throw new Error("The receipt is signed with HS256. Set GREENROOM_RECEIPT_SECRET.");
    return secretOf(secret);
  }
  if (key === undefined)
    throw new Error("The receipt is signed with EdDSA. Set GREENROOM_RECEIPT_PUBLIC_KEY.");
  return publicKeyOf(key);
}

function secretOf(secret: string): Uint8Array {
  const bytes = new TextEncoder().encode(secret);
  if (bytes.length >= SECRET_BYTES_MIN) return bytes;
  throw fault(
    "GREENROOM_RECEIPT_SECRET",
    `it needs at least ${SECRET_BYTES_MIN} bytes and has ${bytes.length}`,
  );
}

function privateKeyOf(text: string): KeyObject {
  return ed25519(() => createPrivateKey(pemOf(text)));
}

const publicKeyOf = (text: string): KeyObject => ed25519(() => createPublicKey(pemOf(text)));

function ed25519(make: () => KeyObject): KeyObject {
  let key: KeyObject;
  try {
    key = make();
  } catch {
    // OpenSSL's error is omitted, because it may quote the key.
    throw fault("GREENROOM_RECEIPT_PRIVATE_KEY", "it is neither a PEM nor the path of a file with one");
  }
  if (key.asymmetricKeyType === "ed25519") return key;
  throw fault(
    "GREENROOM_RECEIPT_PRIVATE_KEY",
    `only Ed25519 is supported, and this key is ${key.asymmetricKeyType}`,
  );
}

/** Reads a PEM or a file. In an inline PEM, `\n` stands for a line break, because environment files are line-based. */
const pemOf = (text: string): string =>
  text.trim().startsWith("-----BEGIN")
    ? text.trim().replaceAll("\\n", "\n")
    : readFileSync(text.trim(), "utf8");

/** A fingerprint of the public key. */
const keyIdOf = (key: KeyObject): string =>
  createHash("sha256")
    .update(key.export({ format: "der", type: "spki" }))
    .digest("base64url")
    .slice(0, 16);

const fault = (name: string, reason: string): ConfigError => new ConfigError([`${name}: ${reason}.`]);
