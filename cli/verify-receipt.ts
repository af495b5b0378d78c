// `greenroom verify-receipt <receipt or file>`: verifies the signature of a deletion's receipt and prints the content.
import { existsSync, readFileSync } from "node:fs";
import { verifyReceipt } from "../libs/auth/receipts.ts";
import { messageOf } from "../libs/contracts/errors.ts";
import { receiptPublicKeyFile } from "./supervisor/receipt-key.ts";

const USAGE = `Name a receipt or a file with one: greenroom verify-receipt receipt.jws.
The key is in GREENROOM_RECEIPT_PUBLIC_KEY (a PEM, or a file with one) or in GREENROOM_RECEIPT_SECRET. Default: the key
that npm start created in its data directory (GREENROOM_DATA_DIR).`;

process.exitCode = await main(process.argv.slice(2), process.env);

async function main([receiptOrFile]: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  if (receiptOrFile === undefined || receiptOrFile === "--help") {
    console.error(USAGE);
    return receiptOrFile === undefined ? 2 : 0;
  }
  // A receipt has no slash. Base64url doesn't use it.
  if (receiptOrFile.includes("/") && !existsSync(receiptOrFile)) {
    console.error(`There is no file ${receiptOrFile}.`);
    return 2;
  }
  const jws = (existsSync(receiptOrFile) ? readFileSync(receiptOrFile, "utf8") : receiptOrFile).trim();
  try {
    const secret = env.GREENROOM_RECEIPT_SECRET || undefined;
    const configuredKey = env.GREENROOM_RECEIPT_PUBLIC_KEY || env.GREENROOM_RECEIPT_PRIVATE_KEY || undefined;
    const key = configuredKey ?? (secret === undefined ? localKey(env) : undefined);
    const receipt = await verifyReceipt(jws, { key, secret });
    console.log(JSON.stringify(receipt, null, 2));
    console.error("Valid signature. The receipt lists what was deleted.");
    return 0;
  } catch (error) {
    console.error(messageOf(error));
    return 1;
  }
}

function localKey(env: NodeJS.ProcessEnv): string | undefined {
  const file = receiptPublicKeyFile(env.GREENROOM_DATA_DIR || ".greenroom");
  return existsSync(file) ? file : undefined;
}
