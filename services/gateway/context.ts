// What the gateway's routes work with.
import type { ServiceJwts } from "../../libs/auth/service-jwt.ts";
import type { Bus } from "../../libs/bus/bus.ts";
import type { Requested } from "../../libs/contracts/sessions/session.ts";
import type { HostView } from "../../libs/fleet/host-view.ts";
import type { SessionView } from "../../libs/fleet/session-view.ts";
import type { LiveKit } from "../../libs/livekit/rooms.ts";
import type { Clock } from "../../libs/runtime/clock.ts";
import type { Log } from "../../libs/runtime/log.ts";
import type { Metrics } from "../../libs/runtime/metrics.ts";
import type { GatewayConfig } from "./config.ts";
import type { StoreHealth } from "./http/store-health.ts";
import type { StreamLimits } from "./http/stream-limits.ts";
import type { LoadMonitor } from "./sessions/load-monitor.ts";
import type { SessionSubscriptions } from "./sessions/session-subscriptions.ts";
import type { StartTimes } from "./sessions/start-times.ts";

export interface GatewayDeps {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
  readonly config: GatewayConfig;
  /** Undefined when none is configured: the API runs without, and says so. */
  readonly livekit: LiveKit | undefined;
  readonly hosts: HostView;
  readonly sessions: SessionView;
  /** Without them nothing is measured, and /metrics has nothing to tell. */
  readonly metrics?: Metrics;
  readonly instance: string;
}

interface Accepted {
  readonly requested: Requested;
  /** Until then there is no session: the store may fail, or have another request of the same key. */
  isStored: boolean;
}

export interface Gateway extends GatewayDeps {
  readonly tenant: string;
  readonly subscriptions: SessionSubscriptions;
  readonly startTimes: StartTimes;
  /** Requests that this gateway is storing, or has stored and whose record it hasn't seen yet, by session. */
  readonly accepted: Map<string, Accepted>;
  readonly load: LoadMonitor;
  readonly storeHealth: StoreHealth;
  readonly streams: StreamLimits;
  /** Undefined when no key is set: then no other system can show who it is. */
  readonly serviceJwts: ServiceJwts | undefined;
}
