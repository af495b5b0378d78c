// `npm run doctor`: looks at everything that Greenroom stands on, and says what is wrong and what to do.
import { parseArgs } from "node:util";
import { messageOf } from "../../libs/contracts/errors.ts";
import { jsonOf, resultText, sumUp } from "./print.ts";
import { runChecks } from "./run-checks.ts";
import { openSources } from "./sources.ts";
import { allChecks } from "./table.ts";

const HELP = `npm run doctor -- [--online] [--json]

Reads the same settings from the environment as the services, changes nothing, and exits with 1 when something is broken.

  --online  also asks each provider whether it takes its key: a real call, which costs next to nothing
  --json    one JSON object instead of lines
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
  const text = isJson ? jsonOf(results) : `\n${sumUp(results)}`;
  // An exit right after a long write to a pipe would cut it.
  await new Promise((resolve) => process.stdout.write(`${text}\n`, resolve));
  return results.some(({ level }) => level === "failure") ? 1 : 0;
}
