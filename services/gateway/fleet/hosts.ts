// GET /api/hosts: every agent-host with its agent processes and slots.
import { HostsAnswer } from "../../../libs/contracts/fleet/http.ts";
import { ErrorAnswer } from "../../../libs/contracts/sessions/http.ts";
import type { Gateway } from "../context.ts";
import type { Routes } from "../http/routes.ts";

export function hostsRoute(app: Routes, gateway: Gateway): void {
  app.get(
    "/api/hosts",
    {
      schema: {
        summary: "List the agent-hosts with their agent processes and slots",
        tags: ["fleet"],
        response: { 200: HostsAnswer, "5xx": ErrorAnswer },
      },
    },
    async () => {
      const hosts = [...gateway.hosts.all()].sort((a, b) => (a.hostId < b.hostId ? -1 : 1));
      return { success: true as const, hosts };
    },
  );
}
