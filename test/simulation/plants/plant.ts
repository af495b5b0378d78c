// A planted bug: wraps the dependencies of a service, so that no service needs a switch for it.
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
    /** The stored record of a session. */
    record(tenant: string, id: string): SessionRecord | undefined;
  };
}

/** Each wrapper replaces one dependency of a service. */
export interface Plant {
  readonly name: string;
  /** The invariants, at least one of which must break. */
  readonly breaks: readonly (number | string)[];
  /** The worlds to search: with the providers service, with tasks too, or large ones; else small ones. */
  readonly worlds?: "connected" | "calling" | "large";
  readonly bus?: (bus: Bus, site: PlantSite) => Bus;
  readonly livekit?: (livekit: LiveKit, site: PlantSite) => LiveKit;
  readonly clock?: (clock: Clock, site: PlantSite) => Clock;
  /** Wraps the key operations of a compare-and-set. */
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
