// Finds a session or task by its id, by the beginning of its id, or by <tenant>.<id>.
import type { NatsInspector } from "../../libs/bus/nats/inspect.ts";

export interface Subject {
  readonly kind: "session" | "task";
  readonly tenant: string;
  readonly id: string;
}

export type Found =
  | { readonly found: Subject }
  | { readonly none: string }
  /** The first matches of an ambiguous id. */
  | { readonly several: readonly Subject[] };

/** Subjects that contain ids. `tenantAt` and `idAt` are positions of tokens, counted from 0. */
const PLACES = [
  {
    kind: "session",
    stream: "KV_sessions",
    tenantAt: 2,
    idAt: 3,
    subjectOf: (t: string, i: string) => `$KV.sessions.${t}.${i}`,
  },
  {
    kind: "session",
    stream: "SESSIONS",
    tenantAt: 1,
    idAt: 2,
    subjectOf: (t: string, i: string) => `session.${t}.${i}.*`,
  },
  {
    kind: "session",
    stream: "SESSIONS_OVERFLOW",
    tenantAt: 2,
    idAt: 3,
    subjectOf: (t: string, i: string) => `overflow.session.${t}.${i}.*`,
  },
  {
    kind: "session",
    stream: "CALLS",
    tenantAt: 1,
    idAt: 3,
    subjectOf: (t: string, i: string) => `call.${t}.*.${i}`,
  },
  {
    kind: "task",
    stream: "KV_tasks",
    tenantAt: 2,
    idAt: 3,
    subjectOf: (t: string, i: string) => `$KV.tasks.${t}.${i}`,
  },
  {
    kind: "task",
    stream: "TASKS",
    tenantAt: 1,
    idAt: 2,
    subjectOf: (t: string, i: string) => `task.${t}.${i}.*`,
  },
] as const;

const SHOWN = 20;
const TOKEN = /^[A-Za-z0-9_-]+$/;

/** Searches for the whole id first. Only the beginning of an id requires a list of all ids. */
export async function findSubject(nats: Pick<NatsInspector, "subjects">, given: string): Promise<Found> {
  const parts = given.split(".");
  const [tenant, id] = parts.length === 2 ? parts : ["*", parts[0]];
  if (
    parts.length > 2 ||
    id === undefined ||
    !TOKEN.test(id) ||
    (tenant !== "*" && !TOKEN.test(tenant ?? ""))
  ) {
    return {
      none: `"${given}" is not an id. Ids contain letters, digits, "-" and "_". A tenant may precede, separated by a dot.`,
    };
  }
  const list = async (idOrAll: string): Promise<Subject[]> => {
    const lists = await Promise.all(
      PLACES.map(async ({ kind, stream, tenantAt, idAt, subjectOf }) => {
        const subjects = await nats.subjects(stream, subjectOf(tenant ?? "*", idOrAll));
        return subjects.flatMap((subject): Subject[] => {
          const tokens = subject.split(".");
          const at = { kind, tenant: tokens[tenantAt] ?? "", id: tokens[idAt] ?? "" };
          return at.id.startsWith(id) ? [at] : [];
        });
      }),
    );
    return distinct(lists.flat());
  };
  const exact = await list(id);
  const candidates = exact.length > 0 ? exact : await list("*");
  const [only] = candidates;
  if (only === undefined) {
    return {
      none: `Nothing found for "${given}": no session or task has an id with this beginning, or its data has expired.`,
    };
  }
  // A task and its own attempts are one subject.
  const isOne = candidates.every((candidate) => candidate === only || isAttemptOf(only, candidate));
  return isOne ? { found: only } : { several: candidates.slice(0, SHOWN) };
}

const isAttemptOf = (task: Subject, { kind, tenant, id }: Subject): boolean =>
  task.kind === "task" && kind === "session" && tenant === task.tenant && id.startsWith(`${task.id}-`);

function distinct(subjects: readonly Subject[]): Subject[] {
  const known = new Map(
    subjects.map((subject) => [`${subject.kind}.${subject.tenant}.${subject.id}`, subject]),
  );
  return [...known.values()].sort((a, b) => a.id.localeCompare(b.id));
}
