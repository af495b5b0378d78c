// The key that signs receipts of deletions in a local run. Created once and stored with the data.
import { generateKeyPairSync } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** The file with the public key, with which `npm run verify-receipt` verifies receipts. */
export const receiptPublicKeyFile = (dataDir: string): string => join(dataDir, "receipts", "key.pub.pem");

/**
 * The settings for the key.
 *
 * The key persists across restarts, so that earlier receipts can still be verified.
 * @returns no settings if the environment names another key or secret
 */
export async function receiptKey(
  env: Readonly<Record<string, string | undefined>>,
  dataDir: string,
): Promise<Record<string, string>> {
  if (env.GREENROOM_RECEIPT_PRIVATE_KEY || env.GREENROOM_RECEIPT_SECRET) return {};
  const file = join(dataDir, "receipts", "key.pem");
  if (!existsSync(file)) {
    await mkdir(join(dataDir, "receipts"), { recursive: true, mode: 0o700 });
    const { privateKey, publicKey } = generateKeyPairSync("ed25519", {
      privateKeyEncoding: { type: "pkcs8", format: "pem" },
      publicKeyEncoding: { type: "spki", format: "pem" },
    });
    await writeFile(receiptPublicKeyFile(dataDir), publicKey);
    // Renamed only when complete, because a run that is killed here would leave an unreadable key.
    await writeFile(`${file}.new`, privateKey, { mode: 0o600 });
    await rename(`${file}.new`, file);
  }
  return { GREENROOM_RECEIPT_PRIVATE_KEY: file };
}
