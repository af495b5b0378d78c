// What a fault of a chaos run is: whom it strikes, for how long, and how it is over.
import type { HostRecord } from "../../../libs/contracts/fleet/host.ts";
import type { Random } from "../../kit/random.ts";
import type { World } from "./world.ts";

/** Ends a fault; answers when what was hurt is back, as far as somebody has to bring it back. */
export type Cure = () => Promise<void>;

export interface Strike {
  readonly target: string;
  readonly cure: Cure;
}

export interface FaultKind {
  readonly kind: string;
  /** How often it is chosen, beside the others. */
  readonly weight: number;
  readonly holdMs: readonly [number, number];
  /** What no other fault may have a hand in meanwhile. `one service` stands for whichever is struck. */
  readonly needs: "nats" | "livekit" | "service" | "nothing";
  /** @returns undefined when there is nobody to strike now */
  strike(scene: FaultScene): Promise<Strike | undefined>;
}

export interface FaultScene {
  readonly world: World;
  readonly random: Random;
  /** Of the services that no other fault has in hand; undefined when there is none. */
  freeService(kinds?: readonly string[]): string | undefined;
  /** The newest word of a host on itself. */
  hostRecord(name: string): HostRecord | undefined;
  forge(times: number): Promise<void>;
}

/** For what is over by itself, or is brought back by the supervisor. */
export const nothing: Cure = async () => {};
