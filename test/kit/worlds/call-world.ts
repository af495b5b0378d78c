// Sessions with a telephone call: a host whose agents are ready at once, providers services and scripted telephones.
import type { Bus } from "../../../libs/bus/bus.ts";
import { hosts } from "../../../libs/contracts/buckets.ts";
import type { Assign } from "../../../libs/contracts/fleet/host.ts";
import type { LaunchRecord } from "../../../libs/contracts/providers/provider.ts";
import type { SessionEvent } from "../../../libs/contracts/sessions/session.ts";
import { assignCommand, releaseCommand, sessionEvents } from "../../../libs/contracts/streams.ts";
import { sipDriver } from "../../../services/providers/drivers/sip.ts";
import { canDial } from "../../../services/providers/launches/dial-guard.ts";
import { type ScriptedCall, ScriptedPhones } from "../fakes/scripted-phones.ts";
import { AT, aHost, type anEvent } from "../fixtures/sessions.ts";
import { providerWorld } from "./provider-world.ts";

/** Creates a provider world with a host whose agents are ready at once, and with telephones. */
export async function callWorld() {
  const world = await providerWorld();
  const { client, clock, providers, outcome } = world;
  const phones = new ScriptedPhones();
  const assigns: Assign[] = [];
  const publish = (event: SessionEvent) => client.streams.publish(sessionEvents, event);
  await outcome(
    client.core.serve(assignCommand, "h1", async (assign) => {
      assigns.push(assign);
      const about = { tenant: assign.tenant, sessionId: assign.sessionId, attempt: assign.attempt, at: AT };
      const byHost = { ...about, host: "h1", epoch: 1 };
      const where = { room: assign.room ?? "", identity: assign.identity, warm: "warm" as const, tookMs: 1 };
      clock.after(200, () => void publish({ ...byHost, type: "ready", ...where }));
      return { verdict: "accepted" };
    }),
  );
  await outcome(client.core.serve(releaseCommand, "h1", async () => ({ released: true })));
  const support = { status: "running" as const, warm: 9, hot: 0, warming: 0, busy: 0, max: 99 };
  await outcome(client.kv.update(hosts, aHost("h1", 1, { maxAgents: 99, profiles: { support } }), 0));
  const started = (instance: string, change?: (bus: Bus) => Bus) =>
    providers(
      instance,
      change,
      sipDriver({
        clock,
        phones,
        rooms: phones,
        trunkOf: (profile) => (profile === "support" ? "ST_1" : undefined),
        ringS: 45,
        canDial: (order) => canDial(client, order),
      }),
    );
  const call = (id: string, changed: Parameters<typeof anEvent>[1] = {}) =>
    world.request(id, { provider: "sip", call: { to: "+15550100" }, ...changed });
  const dialed = async (count = 1): Promise<ScriptedCall> => {
    if (!(await clock.runUntil(() => phones.dialed.length >= count, 30_000)))
      throw new Error("no call was dialed");
    return phones.dialed[count - 1] as ScriptedCall;
  };
  const launchWhen = async (id: string, is: (launch: LaunchRecord) => boolean): Promise<LaunchRecord> => {
    const reached = () => {
      const launch = world.launch(id);
      return launch !== undefined && is(launch);
    };
    if (!(await clock.runUntil(reached, 60_000))) throw new Error(JSON.stringify(world.launch(id)));
    return world.launch(id) as LaunchRecord;
  };
  const endRequested = (sessionId: string) =>
    outcome(
      publish({
        type: "end_requested",
        tenant: "t",
        sessionId,
        at: AT,
        endedReason: "completed",
        reason: "ended by the API",
      }),
    );
  return { ...world, phones, assigns, providers: started, call, dialed, launchWhen, endRequested, publish };
}
