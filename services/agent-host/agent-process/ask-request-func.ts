// Asks the file's requestFunc whether it takes a job.
import { type JobAcceptArguments, JobRequest, type ServerOptions } from "@livekit/agents";
import { messageOf } from "../../../libs/contracts/errors.ts";

type Job = ConstructorParameters<typeof JobRequest>[0];

/** Either what the file accepts the job with, or the reason for which it does not take the job. */
export type RequestAnswer = { readonly accepted: JobAcceptArguments } | { readonly refused: string };

/**
 * The first call of accept() or reject() counts. The function may run on after that, also for long.
 *
 * @param requestFunc undefined for a file that gives none to `cli.runApp`; it accepts every job
 */
export async function askRequestFunc(
  requestFunc: ServerOptions["requestFunc"] | undefined,
  job: Job,
): Promise<RequestAnswer> {
  return await new Promise((resolve) => {
    const request = new JobRequest(
      job,
      async () => resolve({ refused: "the file's requestFunc rejected the job" }),
      async (accepted) => resolve({ accepted }),
    );
    const ask = requestFunc ?? (() => request.accept());
    Promise.resolve()
      .then(() => ask(request))
      .then(
        () => resolve({ refused: "the file's requestFunc returned without an answer" }),
        (error: unknown) => resolve({ refused: `the file's requestFunc failed: ${messageOf(error)}` }),
      );
  });
}
