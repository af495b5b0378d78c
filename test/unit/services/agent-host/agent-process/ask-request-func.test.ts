// The answer of a file's requestFunc to a job.
import type { JobRequest } from "@livekit/agents";
import { Job } from "@livekit/protocol";
import { describe, expect, test } from "vitest";
import { askRequestFunc } from "../../../../../services/agent-host/agent-process/ask-request-func.ts";

const job = new Job({ id: "a-1" });
type LiveKitJob = Parameters<typeof askRequestFunc>[1];
const ask = (requestFunc?: (request: JobRequest) => Promise<void>) =>
  askRequestFunc(requestFunc, job as unknown as LiveKitJob);

describe("askRequestFunc", () => {
  test("accepts for a file without the function", async () => {
    expect(await ask()).toEqual({
      accepted: { name: "", identity: "agent-a-1", metadata: "", attributes: undefined },
    });
  });

  test("passes on what the function accepts with, also while it runs on", async () => {
    const answer = ask(async (request) => {
      await request.accept("Ann", "desk", "text", { desk: "7" });
      await new Promise(() => {});
    });
    expect(await answer).toEqual({
      accepted: { name: "Ann", identity: "desk", metadata: "text", attributes: { desk: "7" } },
    });
  });

  test.each([
    ["rejected the job", (request: JobRequest) => request.reject()],
    ["returned without an answer", async () => {}],
    ["failed: no room", () => Promise.reject(new Error("no room"))],
  ])("refuses a job that the function %s", async (what, requestFunc) => {
    expect(await ask(requestFunc)).toEqual({ refused: `the file's requestFunc ${what}` });
  });
});
