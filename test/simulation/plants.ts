// Bugs that are put into a simulated world on purpose, one at a time, to see whether its checks see them.
import type { Bus } from "../../libs/bus/bus.ts";
import type { LiveKit } from "../../libs/livekit/rooms.ts";
import type { Clock } from "../../libs/process/clock.ts";
import type { Kind, Life } from "./sim-process.ts";
import type { World } from "./world.ts";

export interface PlantSite {
  readonly kind: Kind;
  readonly name: string;
  readonly life: Life;
  readonly world: World;
}

/** Each part stands between a service and what it works with; one that leaves a service alone answers undefined. */
export interface Plant {
  readonly name: string;
  readonly bus?: (bus: Bus, site: PlantSite) => Bus | undefined;
  readonly livekit?: (livekit: LiveKit, site: PlantSite) => LiveKit | undefined;
  readonly clock?: (clock: Clock, site: PlantSite) => Clock | undefined;
}
