// All checks in their order: dependencies first.
import { agentsCheck, keysCheck } from "./agent-checks.ts";
import type { Check } from "./check.ts";
import { clocksCheck } from "./clock-check.ts";
import { hostsCheck, poolsCheck, servicesCheck } from "./fleet-checks.ts";
import { inferenceCheck } from "./inference-check.ts";
import { audioCheck, livekitCheck, webhooksCheck } from "./livekit-checks.ts";
import { diskCheck, limitsCheck, nodeCheck, portsCheck } from "./machine-checks.ts";
import { jetstreamCheck, natsCheck, storeRightsCheck, subjectRightsCheck, syncCheck } from "./nats-checks.ts";
import { programsCheck } from "./program-checks.ts";
import { settingsCheck } from "./settings-check.ts";
import { sipCheck } from "./sip-check.ts";
import type { Sources } from "./sources.ts";
import { backlogCheck, streamsCheck } from "./stream-checks.ts";

export const allChecks: readonly Check<Sources>[] = [
  settingsCheck,
  nodeCheck,
  limitsCheck,
  programsCheck,
  portsCheck,
  diskCheck,
  natsCheck,
  servicesCheck,
  subjectRightsCheck,
  jetstreamCheck,
  storeRightsCheck,
  streamsCheck,
  backlogCheck,
  syncCheck,
  hostsCheck,
  poolsCheck,
  livekitCheck,
  clocksCheck,
  audioCheck,
  webhooksCheck,
  sipCheck,
  agentsCheck,
  keysCheck,
  inferenceCheck,
];
