// `npm run doctor`: checks everything that Greenroom depends on, and explains problems and their solutions.
import { parseArgs } from "node:util";
import { messageOf } from "../../libs/contracts/errors.ts";
import { jsonOf, resultText, summaryOf } from "./print.ts";
import { runChecks } from "./run-checks.ts";
import { openSources } from "./sources.ts";
import { allChecks } from "./table.ts";

const HELP = `npm run doctor -- [--online] [--json]

Reads the services' settings from the environment, changes nothing, and exits with 1 if a check fails.

    --online  also sends a request to each provider to test its key, at almost no cost
  --json    print one JSON object
`;

process.exit(await main());

async function main(): Promise<number> {
  let isOnline = false;
  let isJson = false;
  try {
    const { values } = parseArgs({
      options: {
        online: { type: "boolean" },
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
  } catch (error) {
    process.stderr.write(`${messageOf(error)}\n\n${HELP}`);
    return 2;
  }
  const hasColor = process.stdout.isTTY === true && !process.env.NO_COLOR;
  const sources = await openSources(process.env, isOnline);
  const results = await runChecks(allChecks, sources, (result) => {
    if (!isJson) process.stdout.write(`${resultText(result, hasColor)}\n`);
  });
  await sources.close();
  const text = isJson ? jsonOf(results) : `\n${summaryOf(results)}`;
  // An immediate exit would truncate a long write to a pipe.
  await new Promise((resolve) => process.stdout.write(`${text}\n`, resolve));
  return results.some(({ level }) => level === "failure") ? 1 : 0;
}
