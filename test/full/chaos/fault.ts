// A fault of a chaos run: its target, its duration and its end.
import type { HostRecord } from "../../../libs/contracts/fleet/host.ts";
import type { Random } from "../../kit/random.ts";
import type { World } from "./world.ts";

/** Ends a fault, and waits until the target works again, unless the target recovers by itself. */
export type Cure = () => Promise<void>;

export interface Strike {
  readonly target: string;
  readonly cure: Cure;
}

export interface FaultKind {
  readonly kind: string;
  /** The relative probability of the fault. */
  readonly weight: number;
  readonly holdMs: readonly [number, number];
  /** The target that no other fault may strike at the same time. */
  readonly needs: "nats" | "livekit" | "service" | "nothing";
  /** @returns undefined without a target */
  strike(scene: FaultScene): Promise<Strike | undefined>;
}

export interface FaultScene {
  readonly world: World;
  readonly random: Random;
  /** A service that no other fault affects, undefined if there is none. */
  freeService(kinds?: readonly string[]): string | undefined;
  /** The newest record of a host. */
  hostRecord(name: string): HostRecord | undefined;
  forge(times: number): Promise<void>;
}

/** The cure of a fault that ends by itself, or from which the supervisor recovers. */
export const nothing: Cure = async () => {};
