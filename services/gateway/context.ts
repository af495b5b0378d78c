// The dependencies and the state that the gateway's routes share.
import type { ServiceJwts } from "../../libs/auth/service-jwt.ts";
import type { ServiceDeps } from "../../libs/bus/service-deps.ts";
import type { Requested } from "../../libs/contracts/sessions/session.ts";
import type { HostView } from "../../libs/fleet/host-view.ts";
import type { SessionView } from "../../libs/fleet/session-view.ts";
import type { LiveKit } from "../../libs/livekit/rooms.ts";
import type { Metrics } from "../../libs/runtime/metrics.ts";
import type { GatewayConfig } from "./config.ts";
import type { StoreHealth } from "./http/store-health.ts";
import type { StreamLimits } from "./http/stream-limits.ts";
import type { LoadMonitor } from "./sessions/load-monitor.ts";
import type { SessionSubscriptions } from "./sessions/session-subscriptions.ts";
import type { StartTimes } from "./sessions/start-times.ts";

export interface GatewayDeps extends ServiceDeps {
  readonly config: GatewayConfig;
  /** Undefined without a configured LiveKit. Requests that need LiveKit are then refused. */
  readonly livekit: LiveKit | undefined;
  readonly hosts: HostView;
  readonly sessions: SessionView;
  /** If absent, nothing is measured and /metrics is empty. */
  readonly metrics?: Metrics;
  readonly instance: string;
}

interface Accepted {
  readonly requested: Requested;
  /** False while the session may still not exist: the store can fail, or hold another request with the same key. */
  isStored: boolean;
}

export interface Gateway extends GatewayDeps {
  readonly tenant: string;
  readonly subscriptions: SessionSubscriptions;
  readonly startTimes: StartTimes;
  /** Requests, by session, that this gateway is storing, or has stored without having seen their record. */
  readonly accepted: Map<string, Accepted>;
  readonly load: LoadMonitor;
  readonly storeHealth: StoreHealth;
  readonly streams: StreamLimits;
  /** Undefined without a configured key. Then no other system can authenticate. */
  readonly serviceJwts: ServiceJwts | undefined;
}
