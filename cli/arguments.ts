// The command lines of `greenroom`: read by Node's own parser, with help and an exit code for mistakes.
import { type ParseArgsConfig, parseArgs } from "node:util";
import { messageOf } from "../libs/contracts/errors.ts";

type Options = NonNullable<ParseArgsConfig["options"]>;
const HELP = { help: { type: "boolean", short: "h" } } as const;

/** Ends the process with 0 after --help, and with 2 for invalid arguments. */
export function readArguments<const T extends Options>(usage: string, options: T, maxPositionals = 0) {
  try {
    const { values, positionals } = parseArgs({
      options: { ...options, ...HELP },
      allowPositionals: maxPositionals > 0,
    });
    if ((values as { help?: boolean }).help === true) {
      console.log(usage);
      process.exit(0);
    }
    if (positionals.length > maxPositionals) throw new Error(`Unexpected argument "${positionals.at(-1)}".`);
    return { values, positionals };
  } catch (error) {
    return failUsage(usage, messageOf(error));
  }
}

/** Ends the process with 2. */
export function failUsage(usage: string, message: string): never {
  console.error(`${message}\n\n${usage}`);
  process.exit(2);
}
