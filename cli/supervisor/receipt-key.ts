// The key that a local run signs receipts of deletions with: made once, and kept beside the data.
import { generateKeyPairSync } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** Where the public half is, by which `npm run verify-receipt` checks them. */
export const receiptPublicKeyFile = (dataDir: string): string => join(dataDir, "receipts", "key.pub.pem");

/**
 * The settings of the services for it.
 *
 * It stays the same over restarts, or nobody could check the receipts of before.
 * @returns nothing when the environment names a key or a secret of its own
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
    // Under its name only when it is whole: a run that is killed here would leave a key that nobody can read.
    await writeFile(`${file}.new`, privateKey, { mode: 0o600 });
    await rename(`${file}.new`, file);
  }
  return { GREENROOM_RECEIPT_PRIVATE_KEY: file };
}
