// A bus with some of its methods replaced.
import type { Bus } from "./bus.ts";

type Facet = "streams" | "kv" | "core" | "admin";

export type BusOverrides = { readonly [F in Facet]?: Partial<Bus[F]> };

export function overrideBus(bus: Bus, overrides: BusOverrides): Bus {
  return {
    streams: override(bus.streams, overrides.streams),
    kv: override(bus.kv, overrides.kv),
    core: override(bus.core, overrides.core),
    admin: override(bus.admin, overrides.admin),
    isConnected: () => bus.isConnected(),
    close: () => bus.close(),
  };
}

/** A proxy instead of a copy: the methods of a class are not its own properties. */
function override<F extends object>(facet: F, own: Partial<F> = {}): F {
  return new Proxy(facet, {
    get(target, name) {
      const value = own[name as keyof F] ?? Reflect.get(target, name, target);
      // A method must be called on the object that has its private fields.
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
