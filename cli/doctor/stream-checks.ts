// Checks of the streams and buckets: whether they match the contracts, how full they are, and their backlog.
import type { ConsumerFacts } from "../../libs/bus/nats/inspect.ts";
import { allBuckets, type Bucket } from "../../libs/contracts/buckets.ts";
import { allChannels, type Channel, deadLetters } from "../../libs/contracts/streams.ts";
import { check, type Finding, failure, ok, warning } from "./check.ts";
import type { Sources } from "./sources.ts";

/** A stream by its contract. Each bucket is a stream by NATS's convention. */
export interface Wanted {
  readonly name: string;
  readonly subjects: string;
  readonly maxAgeMs: number;
  readonly maxPerSubject: number;
  readonly maxValueBytes: number;
  readonly refusesWhenFull: boolean;
  readonly mayAnswerLate: boolean;
}

export interface StreamFacts {
  readonly name: string;
  readonly subjects: readonly string[];
  readonly isOnDisk: boolean;
  /** Messages remain until they are too old or too many, even after they were read. */
  readonly keepsWhatIsRead: boolean;
  readonly maxAgeMs: number;
  readonly maxPerSubject: number;
  readonly maxValueBytes: number;
  readonly refusesWhenFull: boolean;
  readonly mayAnswerLate: boolean;
  readonly copies: number;
  /** Replicas that are offline or behind. */
  readonly behind: readonly string[];
  readonly hasLeader: boolean;
  readonly bytes: number;
  readonly maxBytes: number;
  readonly messages: number;
}

export interface StreamsSeen {
  readonly streams: readonly StreamFacts[];
  readonly replicas: number;
}

export const streamsCheck = check({
  name: "nats-streams",
  title: "streams and buckets",
  timeoutMs: 15_000,
  needs: ["jetstream"],
  todo: "Run `nats stream ls -a`, and check NATS's /healthz.",
  observe: async ({ nats, config }: Sources): Promise<StreamsSeen> => {
    const inspector = await nats();
    const infos = await Promise.all(wantedStreams().map(({ name }) => inspector.stream(name)));
    const streams = infos.flatMap((info) => (info === undefined ? [] : [factsOf(info)]));
    return { streams, replicas: config.GREENROOM_REPLICAS };
  },
  judge({ streams, replicas }: StreamsSeen): Finding[] {
    const wanted = wantedStreams();
    const byName = new Map(streams.map((stream) => [stream.name, stream]));
    const missing = wanted.filter(({ name }) => !byName.has(name)).map(({ name }) => name);
    const found = wanted.flatMap((stream) => {
      const present = byName.get(stream.name);
      return present === undefined ? [] : faultsOf(stream, present, replicas);
    });
    if (missing.length === wanted.length) {
      return [ok("None exists yet. The first service that starts creates them.")];
    }
    const existing = `${streams.length} of ${wanted.length} exist`;
    if (missing.length > 0) {
      found.unshift(ok(`${existing}. The next service that starts creates ${missing.join(", ")}.`));
    } else if (found.length === 0) found.push(ok(`All ${wanted.length} exist and match their contracts.`));
    return found;
  },
});

type StreamInfo = NonNullable<Awaited<ReturnType<Awaited<ReturnType<Sources["nats"]>>["stream"]>>>;

function factsOf({ config, state, cluster }: StreamInfo): StreamFacts {
  const replicas = cluster?.replicas ?? [];
  return {
    name: config.name,
    subjects: config.subjects,
    isOnDisk: config.storage === "file",
    keepsWhatIsRead: config.retention === "limits",
    maxAgeMs: config.max_age / 1e6,
    maxPerSubject: config.max_msgs_per_subject,
    maxValueBytes: config.max_msg_size ?? -1,
    refusesWhenFull: config.discard === "new",
    mayAnswerLate: config.allow_direct === true,
    copies: config.num_replicas,
    behind: replicas.filter(({ current, offline }) => !current || offline === true).map(({ name }) => name),
    hasLeader: cluster === undefined || (cluster.leader ?? "") !== "" || replicas.length === 0,
    bytes: state.bytes,
    maxBytes: config.max_bytes,
    messages: state.messages,
  };
}

export const wantedStreams = (): Wanted[] => [
  ...(allChannels as readonly Channel<never>[]).map((channel) => ({
    name: channel.stream,
    subjects: channel.subjects,
    maxAgeMs: channel.maxAgeMs,
    maxPerSubject: channel.maxPerSubject ?? -1,
    maxValueBytes: -1,
    refusesWhenFull: channel.discard === "refuse",
    mayAnswerLate: channel.allowDirect === true,
  })),
  ...(allBuckets as readonly Bucket<never>[]).map((bucket) => ({
    name: `KV_${bucket.name}`,
    subjects: `$KV.${bucket.name}.>`,
    maxAgeMs: bucket.ttlMs ?? 0,
    maxPerSubject: bucket.history,
    maxValueBytes: bucket.maxValueBytes,
    refusesWhenFull: true,
    mayAnswerLate: false,
  })),
];

const STARTS_REFUSED = 0.9;
const FILLING = 0.7;

function faultsOf(wanted: Wanted, present: StreamFacts, replicas: number): Finding[] {
  const { name } = wanted;
  const edit = (option: string) => `nats stream edit ${name} ${option}`;
  const faults: Finding[] = [];
  const wrong = (description: string, todo: string) => faults.push(failure(description, todo));
  const odd = (description: string, todo: string) => faults.push(warning(description, todo));
  if (!present.subjects.includes(wanted.subjects)) {
    wrong(
      `${name} stores ${present.subjects.join(", ")} instead of ${wanted.subjects}, so messages are lost.`,
      edit(`--subjects='${wanted.subjects}'`),
    );
  }
  if (!present.keepsWhatIsRead || !present.isOnDisk) {
    wrong(
      `${name} ${present.isOnDisk ? "deletes messages after they were read" : "is stored in memory only"}, which can't be changed.`,
      `Stop the services, remove the stream (nats stream rm ${name}) and start them again. They create a new, empty stream.`,
    );
  }
  if (wanted.refusesWhenFull && !present.refusesWhenFull) {
    wrong(`${name} silently deletes old messages when it is full.`, edit("--discard=new"));
  }
  if (present.mayAnswerLate && !wanted.mayAnswerLate) {
    odd(`Reads of ${name} may be stale, because any replica may answer.`, edit("--no-allow-direct"));
  }
  if (wanted.maxPerSubject > 0 && present.maxPerSubject > 0 && present.maxPerSubject < wanted.maxPerSubject) {
    odd(
      `${name} keeps ${present.maxPerSubject} messages per subject instead of ${wanted.maxPerSubject}.`,
      edit(`--max-msgs-per-subject=${wanted.maxPerSubject}`),
    );
  }
  if (wanted.maxValueBytes > 0 && present.maxValueBytes > 0 && present.maxValueBytes < wanted.maxValueBytes) {
    wrong(
      `${name} limits values to ${present.maxValueBytes} bytes, but records may have ${wanted.maxValueBytes}.`,
      edit(`--max-msg-size=${wanted.maxValueBytes}`),
    );
  }
  return [...faults, ...conditionOf(present, replicas)];
}

/** Findings about the present condition: replicas and usage. */
function conditionOf(present: StreamFacts, replicas: number): Finding[] {
  const { name, bytes, maxBytes } = present;
  if (!present.hasLeader) {
    return [failure(`${name} has no leader, so nothing can be stored or read.`, "Start more NATS nodes.")];
  }
  const faults: Finding[] = [];
  if (present.behind.length > 0) {
    faults.push(
      warning(
        `The copies of ${name} on ${present.behind.join(", ")} are offline or behind.`,
        "Check that these nodes are running. A restarted node needs a moment to catch up.",
      ),
    );
  }
  if (present.copies < replicas) {
    faults.push(
      warning(
        `${name} has ${present.copies} ${present.copies === 1 ? "copy" : "copies"} instead of ${replicas}.`,
        "Start any service with GREENROOM_REPLICAS set, which adds copies.",
      ),
    );
  }
  const full = maxBytes > 0 ? bytes / maxBytes : 0;
  // Streams that delete old messages are always full at some time.
  if (!present.refusesWhenFull || full < FILLING) return faults;
  const description = `${name} is ${Math.round(full * 100)} % full`;
  const todo = `Run nats stream edit ${name} --max-bytes=<more> if the disk has space, or shorten the retention.`;
  faults.push(
    full >= STARTS_REFUSED
      ? failure(`${description}. New sessions and tasks are refused.`, todo)
      : warning(`${description}. At 90 %, new sessions and tasks are refused.`, todo),
  );
  return faults;
}

export interface BacklogSeen {
  readonly consumers: readonly (ConsumerFacts & { readonly stream: string })[];
  readonly deadLetters: number;
}

/** Unhandled messages of a consumer. A dispatcher handles hundreds per second. */
const BACKLOG = 1000;

export const backlogCheck = check({
  name: "nats-backlog",
  title: "backlog of messages",
  timeoutMs: 10_000,
  needs: ["jetstream"],
  todo: "Run `nats consumer report SESSIONS`.",
  observe: async ({ nats }: Sources): Promise<BacklogSeen> => {
    const inspector = await nats();
    const lists = await Promise.all(
      wantedStreams().map(async ({ name: stream }) =>
        (await inspector.consumers(stream)).map((consumer) => ({ ...consumer, stream })),
      ),
    );
    const letters = await inspector.stream(deadLetters.stream);
    return { consumers: lists.flat(), deadLetters: letters?.state.messages ?? 0 };
  },
  judge({ consumers, deadLetters: letters }: BacklogSeen): Finding[] {
    const found = consumers
      .filter(({ pending }) => pending >= BACKLOG)
      .map(({ stream, name, pending }) =>
        warning(
          `${pending} messages of ${stream} wait for "${name}".`,
          "Check that the service runs and keeps up. A further instance shares the work.",
        ),
      );
    if (letters > 0) {
      found.push(
        warning(
          `${letters} ${letters === 1 ? "message" : "messages"} could not be processed and became dead letters.`,
          "GET /api/dead-letters shows each with its reason. They expire after 7 days.",
        ),
      );
    }
    return found.length > 0 ? found : [ok("No backlog and no dead letters.")];
  },
});
