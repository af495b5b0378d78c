// Checks of the streams and buckets: whether they are as the contracts say, how full, and what waits in them.
import type { ConsumerFacts } from "../../libs/bus/nats/inspect.ts";
import { allBuckets, type Bucket } from "../../libs/contracts/buckets.ts";
import { allChannels, type Channel, deadLetters } from "../../libs/contracts/streams.ts";
import { check, type Finding, failure, ok, warning } from "./check.ts";
import type { Sources } from "./sources.ts";

/** A stream as it is to be; a bucket is one by NATS's convention. */
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
  /** Kept until they are too old or too many, and not taken away by who reads them. */
  readonly keepsWhatIsRead: boolean;
  readonly maxAgeMs: number;
  readonly maxPerSubject: number;
  readonly maxValueBytes: number;
  readonly refusesWhenFull: boolean;
  readonly mayAnswerLate: boolean;
  readonly copies: number;
  /** Names of replicas that are away or behind; and whether nobody leads. */
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
  todo: "nats stream ls -a shows them; see NATS's /healthz.",
  observe: async ({ nats, config }: Sources): Promise<StreamsSeen> => {
    const look = await nats();
    const infos = await Promise.all(wantedStreams().map(({ name }) => look.stream(name)));
    const streams = infos.flatMap((info) => (info === undefined ? [] : [factsOf(info)]));
    return { streams, replicas: config.GREENROOM_REPLICAS };
  },
  judge({ streams, replicas }: StreamsSeen): Finding[] {
    const wanted = wantedStreams();
    const byName = new Map(streams.map((stream) => [stream.name, stream]));
    const missing = wanted.filter(({ name }) => !byName.has(name)).map(({ name }) => name);
    const found = wanted.flatMap((one) => {
      const present = byName.get(one.name);
      return present === undefined ? [] : faultsOf(one, present, replicas);
    });
    if (missing.length === wanted.length) {
      return [ok("There are none yet; the first process that starts makes them.")];
    }
    const there = `${streams.length} of ${wanted.length} are there`;
    if (missing.length > 0) {
      found.unshift(ok(`${there}; the next process that starts makes ${missing.join(", ")}.`));
    } else if (found.length === 0) found.push(ok(`All ${wanted.length} are there and as they are to be.`));
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
      `${name} holds ${present.subjects.join(", ")} and not ${wanted.subjects}: what is said there is lost.`,
      edit(`--subjects='${wanted.subjects}'`),
    );
  }
  if (!present.keepsWhatIsRead || !present.isOnDisk) {
    wrong(
      `${name} ${present.isOnDisk ? "forgets what was read" : "is kept in memory only"}, which can't be changed.`,
      `Stop the services, remove it (nats stream rm ${name}) and start them: they make it anew, without what it held.`,
    );
  }
  if (wanted.refusesWhenFull && !present.refusesWhenFull) {
    wrong(`${name} forgets old messages when it is full, silently.`, edit("--discard=new"));
  }
  if (present.mayAnswerLate && !wanted.mayAnswerLate) {
    odd(`${name} may be answered by a replica that is behind.`, edit("--no-allow-direct"));
  }
  if (wanted.maxPerSubject > 0 && present.maxPerSubject > 0 && present.maxPerSubject < wanted.maxPerSubject) {
    odd(
      `${name} keeps ${present.maxPerSubject} messages a subject instead of ${wanted.maxPerSubject}.`,
      edit(`--max-msgs-per-subject=${wanted.maxPerSubject}`),
    );
  }
  if (wanted.maxValueBytes > 0 && present.maxValueBytes > 0 && present.maxValueBytes < wanted.maxValueBytes) {
    wrong(
      `${name} takes ${present.maxValueBytes} bytes a value; records may have ${wanted.maxValueBytes}.`,
      edit(`--max-msg-size=${wanted.maxValueBytes}`),
    );
  }
  return [...faults, ...standingOf(present, replicas)];
}

/** What may be otherwise tomorrow: its copies, and how full it is. */
function standingOf(present: StreamFacts, replicas: number): Finding[] {
  const { name, bytes, maxBytes } = present;
  if (!present.hasLeader) {
    return [failure(`${name} has no leader: nothing is stored or read.`, "Bring up more of the NATS nodes.")];
  }
  const faults: Finding[] = [];
  if (present.behind.length > 0) {
    faults.push(
      warning(
        `The copies of ${name} on ${present.behind.join(", ")} are away or behind.`,
        "See whether those nodes run; a node that just came back needs a moment.",
      ),
    );
  }
  if (present.copies < replicas) {
    faults.push(
      warning(
        `${name} has ${present.copies} ${present.copies === 1 ? "copy" : "copies"} instead of ${replicas}.`,
        "Start any service with GREENROOM_REPLICAS set: it has more made.",
      ),
    );
  }
  const full = maxBytes > 0 ? bytes / maxBytes : 0;
  // One that forgets the old is always full some day.
  if (!present.refusesWhenFull || full < FILLING) return faults;
  const description = `${name} is ${Math.round(full * 100)} % full`;
  const todo = `nats stream edit ${name} --max-bytes=<more>, if the disk has room; or keep things for a shorter time.`;
  faults.push(
    full >= STARTS_REFUSED
      ? failure(`${description}: what would begin something new is refused.`, todo)
      : warning(`${description}; from 90 % on nothing new is begun.`, todo),
  );
  return faults;
}

export interface BacklogSeen {
  readonly consumers: readonly (ConsumerFacts & { readonly stream: string })[];
  readonly deadLetters: number;
}

/** Messages that nobody took yet; a dispatcher handles hundreds in a second. */
const BACKLOG = 1000;

export const backlogCheck = check({
  name: "nats-backlog",
  title: "what waits to be handled",
  timeoutMs: 10_000,
  needs: ["jetstream"],
  todo: "nats consumer report SESSIONS shows it.",
  observe: async ({ nats }: Sources): Promise<BacklogSeen> => {
    const look = await nats();
    const lists = await Promise.all(
      wantedStreams().map(async ({ name: stream }) =>
        (await look.consumers(stream)).map((consumer) => ({ ...consumer, stream })),
      ),
    );
    const letters = await look.stream(deadLetters.stream);
    return { consumers: lists.flat(), deadLetters: letters?.state.messages ?? 0 };
  },
  judge({ consumers, deadLetters: letters }: BacklogSeen): Finding[] {
    const found = consumers
      .filter(({ pending }) => pending >= BACKLOG)
      .map(({ stream, name, pending }) =>
        warning(
          `${pending} messages of ${stream} wait for "${name}".`,
          "See whether that service runs and keeps up; another one of it shares the work.",
        ),
      );
    if (letters > 0) {
      found.push(
        warning(
          `${letters} ${letters === 1 ? "message" : "messages"} that nobody could handle ${letters === 1 ? "is" : "are"} in the dead letters.`,
          "GET /api/dead-letters shows each with its reason; they go by themselves after 7 days.",
        ),
      );
    }
    return found.length > 0 ? found : [ok("Nothing is behind, and there are no dead letters.")];
  },
});
