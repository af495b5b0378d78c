// Runs one of LiveKit's own workers as a child process of tests: `node livekit-worker.ts start`.
import { type AgentServer, cli, ServerOptions } from "@livekit/agents";

const { WORKER_AGENT_FILE = "", WORKER_AGENT_NAME = "", WORKER_PORT = "0" } = process.env;

cli.runApp(
  new ServerOptions({
    agent: WORKER_AGENT_FILE,
    agentName: WORKER_AGENT_NAME,
    // A test machine is busy with other work, so its load must not make the worker refuse jobs.
    loadFunc: async (server: AgentServer) => Math.min(0.6, server.activeJobs.length / 50),
    numIdleProcesses: 2,
    initializeProcessTimeout: 60_000,
    host: "127.0.0.1",
    port: Number(WORKER_PORT),
    logLevel: "info",
  }),
);
