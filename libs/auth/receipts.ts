// Receipts for what was removed: JSON Web Signatures that anybody with the key can check, for as long as they keep them.
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
 * @returns undefined when neither a key nor a secret is set: jobs are done then, and have no receipt
 * @throws ConfigError for a key that can't be read, or a secret that is too short
 */
export function createReceiptSigner(config: ReceiptConfig): ReceiptSigner | undefined {
  const { GREENROOM_RECEIPT_PRIVATE_KEY: key, GREENROOM_RECEIPT_SECRET: secret } = config;
  if (key !== undefined) {
    const privateKey = privateKeyOf(key);
    const kid = keyIdOf(createPublicKey(privateKey));
    return { sign: (receipt) => signed(receipt, { alg: "EdDSA", kid }, privateKey) };
  }
  if (secret === undefined) return undefined;
  const bytes = secretOf(secret);
  return { sign: (receipt) => signed(receipt, { alg: "HS256" }, bytes) };
}

const signed = (
  receipt: DeletionReceipt,
  header: { alg: string; kid?: string },
  key: KeyObject | Uint8Array,
): Promise<string> =>
  new CompactSign(new TextEncoder().encode(JSON.stringify(receipt)))
    .setProtectedHeader({ ...header, typ: TYPE })
    .sign(key);

/**
 * What a receipt says, once its signature is checked.
 *
 * The algorithm decides which key is looked at, and each key is only used with its own.
 * @param key a PEM of the public or the private key
 * @throws Error that says what is wrong
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
    throw new Error(
      `The signature is wrong: the receipt was changed, or this isn't its key (${messageOf(error)}).`,
    );
  }
  return DeletionReceipt.parse(JSON.parse(new TextDecoder().decode(payload)));
}

function headerOf(jws: string): { alg: "EdDSA" | "HS256" } {
  let header: { alg?: string; typ?: string };
  try {
    header = decodeProtectedHeader(jws);
  } catch {
    throw new Error("This is no receipt: three parts of base64url, separated by dots, are expected.");
  }
  if (header.typ !== TYPE) throw new Error("This is a signed text, but no receipt of a deletion.");
  if (header.alg !== "EdDSA" && header.alg !== "HS256")
    throw new Error(`Receipts are signed by EdDSA or HS256, and this by ${header.alg}.`);
  return { alg: header.alg };
}

function keyFor(
  alg: "EdDSA" | "HS256",
  { key, secret }: { key?: string | undefined; secret?: string | undefined },
) {
  if (alg === "HS256") {
    if (secret === undefined) throw new Error("It is signed by HS256: its secret is needed.");
    return secretOf(secret);
  }
  if (key === undefined) throw new Error("It is signed by EdDSA: its public key is needed.");
  return publicKeyOf(key);
}

function secretOf(secret: string): Uint8Array {
  const bytes = new TextEncoder().encode(secret);
  if (bytes.length >= SECRET_BYTES_MIN) return bytes;
  throw fault("GREENROOM_RECEIPT_SECRET", `${SECRET_BYTES_MIN} bytes at least; it has ${bytes.length}`);
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
    // What OpenSSL says of it might quote it.
    throw fault("GREENROOM_RECEIPT_PRIVATE_KEY", "it is neither a PEM nor the path of a file with one");
  }
  if (key.asymmetricKeyType === "ed25519") return key;
  throw fault("GREENROOM_RECEIPT_PRIVATE_KEY", `an Ed25519 key is taken; this is ${key.asymmetricKeyType}`);
}

/** Environment files hold one line each, so a PEM may have its line breaks written as \n. */
const pemOf = (text: string): string =>
  text.trim().startsWith("-----BEGIN")
    ? text.trim().replaceAll("\\n", "\n")
    : readFileSync(text.trim(), "utf8");

/** Tells keys apart without saying anything of them. */
const keyIdOf = (key: KeyObject): string =>
  createHash("sha256")
    .update(key.export({ format: "der", type: "spki" }))
    .digest("base64url")
    .slice(0, 16);

const fault = (name: string, what: string): ConfigError => new ConfigError([`${name}: ${what}.`]);
