// `greenroom doctor`: checks everything that Greenroom depends on, and explains problems and their solutions.
import { parseArgs } from "node:util";
import { messageOf } from "../../libs/contracts/errors.ts";
import { exitCodeOf, jsonOf, reportText } from "./print.ts";
import { runChecks } from "./run-checks.ts";
import { openSources } from "./sources.ts";
import { allChecks } from "./table.ts";

const HELP = `Usage: greenroom doctor [folder] [--online] [--all] [--json]

Checks what Greenroom needs, and the services that run. Reads the services' settings from the environment, and leaves
nothing behind.

  folder    the folder of the agent files; default: GREENROOM_AGENTS_DIR, or the one that greenroom dev finds
  --online  also sends a request to each provider to test its key, at almost no cost
  --all     also list notes about what nobody uses
  --json    print one JSON object

Exit codes:
  0  no check failed; there may be warnings
  1  a check failed
  2  the arguments are wrong
  3  no service is running, and nothing else failed
`;

process.exit(await main());

async function main(): Promise<number> {
  let isOnline = false;
  let isJson = false;
  let showsNotes = false;
  let folder: string | undefined;
  try {
    const { positionals, values } = parseArgs({
      allowPositionals: true,
      options: {
        online: { type: "boolean" },
        all: { type: "boolean" },
        json: { type: "boolean" },
        help: { type: "boolean", short: "h" },
      },
    });
    if (values.help === true) {
      process.stdout.write(HELP);
      return 0;
    }
    isOnline = values.online === true;
    isJson = values.json === true;
    showsNotes = values.all === true;
    if (positionals.length > 1) throw new Error("The doctor takes one folder.");
    [folder] = positionals;
  } catch (error) {
    process.stderr.write(`${messageOf(error)}\n\n${HELP}`);
    return 2;
  }
  const hasColor = process.stdout.isTTY === true && !process.env.NO_COLOR;
  const sources = await openSources(process.env, { isOnline, folder });
  // The verdict comes first, so a terminal shows the progress until then.
  const showsProgress = !isJson && process.stderr.isTTY === true;
  const results = await runChecks(allChecks, sources, ({ title }) => {
    if (showsProgress) process.stderr.write(`\u001b[2K\rchecked ${title} `);
  });
  if (showsProgress) process.stderr.write("\u001b[2K\r");
  await sources.close();
  const text = isJson ? jsonOf(results) : reportText(results, { hasColor, showsNotes });
  // An immediate exit would truncate a long write to a pipe.
  await new Promise((resolve) => process.stdout.write(`${text}\n`, resolve));
  return exitCodeOf(results);
}
