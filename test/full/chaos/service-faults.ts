// Faults of Greenroom's processes: services and agent processes are killed and stopped, with or without children.
import { RoleName } from "../../../libs/contracts/fleet/pool.ts";
import { pickOne } from "../../kit/random.ts";
import { type FaultKind, nothing, type Strike } from "./fault.ts";
import type { World } from "./world.ts";

const WITHOUT_CHILDREN: readonly string[] = ["gateway", "control", ...RoleName.options];

const killService: FaultKind = {
  kind: "kill -9 of a service",
  weight: 8,
  holdMs: [0, 500],
  needs: "service",
  async strike({ world, freeService }) {
    const target = freeService(WITHOUT_CHILDREN);
    if (target === undefined) return undefined;
    world.service(target).signal("SIGKILL", "group");
    return { target, cure: nothing };
  },
};

const stopService: FaultKind = {
  kind: "SIGSTOP of a service",
  weight: 6,
  holdMs: [1000, 9000],
  needs: "service",
  async strike({ world, freeService }) {
    const target = freeService(WITHOUT_CHILDREN);
    if (target === undefined) return undefined;
    return pause(world, target, "group");
  },
};

const killHost = (whom: "alone" | "group"): FaultKind => ({
  kind: `kill -9 of ${whom === "alone" ? "an agent-host, without its agent processes" : "a whole host"}`,
  weight: 2,
  holdMs: [0, 500],
  needs: "service",
  async strike({ world, freeService }) {
    const target = freeService(["agent-host"]);
    if (target === undefined) return undefined;
    world.service(target).signal("SIGKILL", whom);
    return { target, cure: nothing };
  },
});

const stopHost = (whom: "alone" | "group"): FaultKind => ({
  kind: `SIGSTOP of ${whom === "alone" ? "an agent-host, without its agent processes" : "a whole host"}`,
  weight: 2,
  holdMs: [500, 10_000],
  needs: "service",
  async strike({ world, freeService }) {
    const target = freeService(["agent-host"]);
    return target === undefined ? undefined : pause(world, target, whom);
  },
});

const strikeAgentProcess = (signal: "SIGKILL" | "SIGSTOP"): FaultKind => ({
  kind: `${signal === "SIGKILL" ? "kill -9" : "SIGSTOP"} of an agent process`,
  weight: 3,
  holdMs: signal === "SIGKILL" ? [0, 500] : [500, 6000],
  needs: "service",
  async strike({ random, freeService, hostRecord }) {
    const host = freeService(["agent-host"]);
    const processes = (host === undefined ? undefined : hostRecord(host))?.processes ?? [];
    // Prefers a process that serves a session, because its death matters more.
    const busy = processes.filter(({ slots }) => slots.some(({ state }) => state === "busy"));
    const [first, ...others] = (busy.length > 0 ? busy : processes).flatMap(({ pid }) => pid ?? []);
    if (first === undefined) return undefined;
    const pid = pickOne(random, [first, ...others]);
    if (!signalIfThere(pid, signal)) return undefined;
    return {
      target: `an agent process of ${host}`,
      cure: async () => void (signal === "SIGSTOP" && signalIfThere(pid, "SIGCONT")),
    };
  },
});

export const serviceFaults: readonly FaultKind[] = [
  killService,
  stopService,
  killHost("alone"),
  killHost("group"),
  stopHost("alone"),
  stopHost("group"),
  strikeAgentProcess("SIGKILL"),
  strikeAgentProcess("SIGSTOP"),
];

function pause(world: World, target: string, whom: "alone" | "group"): Strike {
  const service = world.service(target);
  service.signal("SIGSTOP", whom);
  return { target, cure: async () => service.signal("SIGCONT", whom) };
}

function signalIfThere(pid: number, signal: NodeJS.Signals): boolean {
  try {
    process.kill(pid, signal);
    return true;
  } catch {
    return false;
  }
}
