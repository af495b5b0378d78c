// Names that Greenroom has given up, each with the one that replaces it.

interface RetiredName {
  readonly pattern: RegExp;
  readonly instead: string;
  /** Files in which the name means something else. */
  readonly except?: RegExp;
}

const retired = (pattern: RegExp, instead: string, except?: RegExp): RetiredName =>
  except === undefined ? { pattern, instead } : { pattern, instead, except };

export const retiredNames: readonly RetiredName[] = [
  // Agent processes and slots.
  retired(
    /(?<!multi-|build )\bstages?\b|\bStages?\b|Stage[A-Z]\w*|[a-z]Stages?\b|STAGES?_|_STAGES?\b/g,
    "agent process",
  ),
  retired(/tainted/gi, "unhealthy, draining"),
  retired(
    /(?<![a-z])heat(?:s|ed|er|ers|ing)?(?![a-z])|Heat(?:er|ing|ed)\b|Heat\b/g,
    "standby, connectStandby",
  ),
  // LiveKit has projects called agent-starter-node and agent-starter-react.
  retired(/(?<!call-|agent-)\bstarters?\b|(?<!Call)Starter/g, "spawner"),
  retired(/spawn-?gate|leaveGate/gi, "spawn-limiter"),
  retired(/(?<!circuit[-_ ]?)breaker/gi, "circuit-breaker"),
  retired(/announcer/gi, "host-registration"),
  retired(/teller/gi, "session-reporter"),
  retired(
    /pool-?listener|report-?keeper|record-?checks|isNotNamed/gi,
    "event-publisher, usage-reporter, fencing",
  ),
  retired(/session[-_]reports|[sS]essionReports|\bSessionReport\b/g, "usage-reporter, UsageReport"),
  retired(
    /greetsItself|resumesFrom|lookLikeJobProcess/g,
    "disableAutoGreeting, getResumption, emulateJobProcessArgv",
  ),
  // Verbs.
  retired(
    /SpeakDeps|\bspeak(?:,|\()|before speaking|save and speech/gi,
    "executeCommands, persist before acting",
  ),
  retired(
    /\.(?:tell|hear|announce|poke|tend|bury|settle)\(|\bbus\.listen\(|\btell[-A-Z]\w*/g,
    "publish, notify, log, subscribe",
  ),
  retired(/\bbus\.(?:save|read|remove|list|recent|page|scan)\(/g, "update, get, delete, entries, read"),
  retired(/\bstep\((?:record|session|task|before|after)/g, "reduce"),
  retired(/last-?written/gi, "record-cache"),
  retired(/(?<!long-)\bstandings?\b|Standings?\b/g, "Versioned, StorageStats"),
  retired(/\bPromised\b|passOver/g, "Reservation, excludeUntilUpdate"),
  // The dispatcher's queue.
  retired(/waiting[- ]?rooms?/gi, "wait-queue"),
  retired(/\bwoken\b|isRested/g, "retry_requested, isBackoffOver"),
  retired(
    /\bon-[a-z-]+-event\b|\bon(?:Session|Task|Handoff)Event\b|\btake-?in\b|[tT]aken?In\b/g,
    "handle-X-event",
  ),
  // Tasks and phone calls.
  retired(/task_?lines?|TASK_LINES|giveOut|line_given|[hH]eldLines?\b/gi, "call-slots, grant"),
  retired(
    /(?<!tasks\.)\boutbound\b(?!["`]?[- .](?:calls?|phone|tasks?|trunks?|SIP|daily|create)\b)|outboundSettings/gi,
    "tasks",
  ),
  retired(/(?<!call[-_ ]?|media)recorder/gi, "calls, webhooks, privacy"),
  retired(/\blast-?rings\b|\bone-call\b(?!-a)|\boneCall\b|mayCall/gi, "wait-for-ringing-calls, dial-guard"),
  retired(/dialled|dialling/gi, "dialed"),
  // Providers and handoffs.
  retired(/connector/gi, "providers, handoffs"),
  retired(
    /pursuit|\bliving\b|kept-?launch|launch-?keeper|isLetGo/gi,
    "launch-takeover, liveness, launch, launch-manager",
  ),
  retired(/\badopt(?:s|ed|ing|ion)?\b|[a-z]Adopt/g, "recoverUnconfirmed"),
  retired(/\bunclear\b|Unclear/g, "unconfirmed"),
  retired(
    /["'`/]dispatches\b|\bDispatch(?:Id|State|Record|Params|Answer)\b|dispatchIdOf|dispatchKey|dispatchTold|dispatch(?:Report)?Routes|(?:claim|require|claimed)Dispatch\b/g,
    "claims",
    /^libs\/livekit\//,
  ),
  retired(/[rR]untimeEvent|\bruntime-(?:events?|publisher|news)\b/g, "HandoffEvent"),
  retired(/dispatch-?keeper|dispatch-?due|putOut/gi, "claim-manager, decide-expiry, evictAgent"),
  // Webhooks, deletion, figures.
  retired(/\bnews\b|News\b|News[A-Z]/g, "events"),
  retired(
    /queue-?keeper|queue-run\b|QueueRun\b|QueueRunDeps|\bpoke|\bdoze|Doze/gi,
    "queue-owner, queue-runner, wake, sleep",
  ),
  retired(/RECORDER_MARK|[rR]ecorderMark|\bisMark\b|markHeaders|MARK_TTL/g, "advertise, delete marker"),
  retired(/carry-?out\b|carryOut|\bmentions(?:\(|\.ts)/gi, "run-deletion, match-person"),
  retired(
    /\bcall-of\b|\bcallOf\b|kpis-?of\b|Spread(?:Maker|s\b)|emptySpread|KpiMaker/gi,
    "build-call, build-kpis, Histogram",
  ),
  // The janitor.
  retired(
    /find-?lost-?hosts|suspicion|"sure"|"certain"|(?<!handle-)\blost-hosts/gi,
    "host-monitor, FailureDetector, handle-lost-hosts",
  ),
  retired(/overdue/gi, "find-expired, deadline_exceeded"),
  retired(
    /\binBoth\b|left-?conversations|unrecorded-?calls|roll-ups?\b/gi,
    "confirmOrphans, delete-conversations, purge-guard, rollup",
  ),
  // The gateway.
  retired(
    /open-?session\b|openSession\b|\bwish\b|[a-z]Wish\b|mayBeRepeated/gi,
    "create-session, CreateSessionInput, isIdempotent",
  ),
  retired(/\.asked\b|\basked\??:/g, "requestedWarmth, requestBody"),
  retired(/\bShown\b|shownOf|store-trouble|[sS]toreTrouble/g, "PublicSession, store-health"),
  retired(/\.why\b|\bwhy\??:|\bwhy\(|[a-z]Why\b/g, "reason"),
  retired(
    /broken-?requests|unknown-?routes|open-?streams\b|session-?feed/gi,
    "client-errors, not-found, stream-limits, session-subscriptions",
  ),
  retired(
    /choose-?agent|choose-?profile|service-caller|guardArrival|split-?elements|ElementSplitter/gi,
    "resolve-provider, resolve-profile, authenticate-service",
  ),
  // The bus.
  retired(/relief|takersOf|\bhandOn\b/gi, "overflow, pickStream, forward"),
  retired(
    /\bVerdict\b|\bbur(?:y|ies|ied)\b|\bsettle\b|Settling|fullness/g,
    "ack, nak, deadLetter, processDelivery, usageRatio",
  ),
  retired(
    /measured-?bus|createInOrder|\bInOrder\b|in-order\.ts|without-?tokens|public-address|\bdeferred\b|Deferred\b/gi,
    "instrumented-bus, keyed-queue, redact-tokens, url-guard",
  ),
  retired(
    /\bbeats?\b|\bBeats?\b|\bbeat[A-Z]|\bBeat[A-Z]|[a-z]Beats?\b|\bBEAT_|SILENT_MS/g,
    "heartbeat, DEAD_AFTER_MS",
  ),
  retired(/\btrouble\b(?!-?shoot)|Trouble\b/gi, "degradedReason"),
  // Fields and reasons.
  retired(/room[-_ ]?hints?/gi, "room event"),
  retired(/\bformer\b|\bFormer[A-Z]|\.stays\b|\bstays\??:/g, "previous, keepUntilReplaced"),
  retired(
    /\breadies\b|userCame|takenUp|\bopId|[a-z]OpId\b|worthRepeating|WorthRepeating|isFinal\b/g,
    "readyCount, userJoined, takeovers, writeId, retryable, permanent",
  ),
  retired(/\.place\b|\bplace\??:/g, "queueSeq"),
  retired(
    /not_taken|notTaken|hand-?(?:ed_)?over|handed[_-]?over|HANDOVER|call_moved|callMoved/gi,
    "provider_declined, failover, migrated, call_updated",
  ),
  // Settings.
  retired(
    /_UNREAD_MS|STARTS_MAX|LAG_MAX_MS|QUEUE_MAX\b|GREENROOM_WAIT_MS|_ALIVE_MS|LIVEKIT_TAKE_MS/g,
    "see docs/reference/settings.md",
  ),
  retired(
    /GREENROOM_(?:\w+_)?REQUEST_MS|OBSERVE_MS|COLD_EXTRA_MS|USER_LEFT_MS|USER_ABSENT_MS|KEEP_ENDED_MS/g,
    "see docs/reference/settings.md",
  ),
  retired(
    /\bGREENROOM_DRAIN_(?:MS|END)|SPARE_STAGES|GREENROOM_INBOUND\b|DISPATCH_(?:CLAIM|REPEAT|KEEP)_MS|perStage/g,
    "see docs/reference/settings.md",
  ),
];
