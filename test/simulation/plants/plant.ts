// What a planted bug is: something put between a service and what it works with.
import type { Bus } from "../../../libs/bus/bus.ts";
import type { Keys } from "../../../libs/bus/compare-and-set.ts";
import type { SessionRecord } from "../../../libs/contracts/sessions/session.ts";
import type { LiveKit } from "../../../libs/livekit/rooms.ts";
import type { Clock } from "../../../libs/runtime/clock.ts";
import type { LaunchProcess } from "../../../services/agent-host/pool/supervised-process.ts";
import type { ProviderDriver } from "../../../services/providers/drivers/driver.ts";
import type { Bury } from "../nats/shared.ts";
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
  /** Stands between what settles a message and the dead letters. */
  readonly bury?: (bury: Bury) => Bury;
  readonly launch?: (launch: LaunchProcess) => LaunchProcess;
  readonly provider?: (provider: ProviderDriver, site: PlantSite) => ProviderDriver;
}

type Of<K extends keyof Bus> = Partial<Pick<Bus, K>>;

/** The bus of the services of one kind, with some of its methods replaced. */
export const busOf =
  <K extends keyof Bus>(kind: Kind, change: (bus: Bus, site: PlantSite) => Of<K>) =>
  (bus: Bus, site: PlantSite): Bus =>
    site.kind === kind ? { ...bus, ...change(bus, site) } : bus;
