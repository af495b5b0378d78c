// `npm run verify-receipt -- <receipt or file>`: checks the signature of a deletion's receipt, and shows what it says.
import { existsSync, readFileSync } from "node:fs";
import { verifyReceipt } from "../libs/auth/receipts.ts";
import { messageOf } from "../libs/contracts/errors.ts";

const USAGE = `Say the receipt, or the file that it is in: npm run verify-receipt -- receipt.jws
Its key is in GREENROOM_RECEIPT_PUBLIC_KEY (a PEM, or a file with one), or in GREENROOM_RECEIPT_SECRET.`;

process.exitCode = await main(process.argv.slice(2), process.env);

async function main([given]: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  if (given === undefined) {
    console.error(USAGE);
    return 2;
  }
  const jws = (existsSync(given) ? readFileSync(given, "utf8") : given).trim();
  try {
    const receipt = await verifyReceipt(jws, {
      key: env.GREENROOM_RECEIPT_PUBLIC_KEY || env.GREENROOM_RECEIPT_PRIVATE_KEY || undefined,
      secret: env.GREENROOM_RECEIPT_SECRET || undefined,
    });
    console.log(JSON.stringify(receipt, null, 2));
    console.error("The signature is right: this is what was removed.");
    return 0;
  } catch (error) {
    console.error(messageOf(error));
    return 1;
  }
}
