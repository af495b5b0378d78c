// What a planted bug is: something put between a service and what it works with.
import type { Bus } from "../../../libs/bus/bus.ts";
import type { Keys } from "../../../libs/bus/compare-and-set.ts";
import { type BusOverrides, overrideBus } from "../../../libs/bus/override-bus.ts";
import type { SessionRecord } from "../../../libs/contracts/sessions/session.ts";
import type { LiveKit } from "../../../libs/livekit/rooms.ts";
import type { Clock } from "../../../libs/runtime/clock.ts";
import type { LaunchProcess } from "../../../services/agent-host/pool/supervised-process.ts";
import type { ProviderDriver } from "../../../services/providers/drivers/driver.ts";
import type { DeadLettering } from "../nats/shared.ts";
import type { Scenario } from "../scenario.ts";
import type { Kind, Life } from "../sim-process.ts";

export interface PlantSite {
  readonly kind: Kind;
  readonly name: string;
  readonly life: Life;
  readonly world: {
    readonly clock: Clock;
    readonly scenario: Scenario;
    /** What stands in the store. */
    record(tenant: string, id: string): SessionRecord | undefined;
  };
}

/** Each part stands between a service and what it works with, so no service has a switch for it. */
export interface Plant {
  readonly name: string;
  /** The invariants of which one at least must be seen to break. */
  readonly breaks: readonly (number | string)[];
  /** Where it is looked for: in worlds that have the providers service, or tasks too, or where much is said; else in small ones. */
  readonly worlds?: "connected" | "calling" | "large";
  readonly bus?: (bus: Bus, site: PlantSite) => Bus;
  readonly livekit?: (livekit: LiveKit, site: PlantSite) => LiveKit;
  readonly clock?: (clock: Clock, site: PlantSite) => Clock;
  /** Stands between the decisions of a compare-and-set and the store. */
  readonly keys?: (keys: Keys) => Keys;
  /** Replaces the storing of dead letters. */
  readonly deadLettering?: (deadLetter: DeadLettering) => DeadLettering;
  readonly launch?: (launch: LaunchProcess) => LaunchProcess;
  readonly provider?: (provider: ProviderDriver, site: PlantSite) => ProviderDriver;
}

/** The bus of the services of one kind, with some of its methods replaced. */
export const busOf =
  (kind: Kind, change: (bus: Bus, site: PlantSite) => BusOverrides) =>
  (bus: Bus, site: PlantSite): Bus =>
    site.kind === kind ? overrideBus(bus, change(bus, site)) : bus;
