// Finds the session or task that a person means by an id, a part of one, or <tenant>.<id>.
import type { NatsInspector } from "../../libs/bus/nats/inspect.ts";

export interface Subject {
  readonly kind: "session" | "task";
  readonly tenant: string;
  readonly id: string;
}

export type Found =
  | { readonly found: Subject }
  | { readonly none: string }
  /** Several begin so; the first of them. */
  | { readonly several: readonly Subject[] };

/** Where ids stand in subjects: by these tokens, counted from 0. */
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

/** An id that is whole is asked for by itself; only a part of one needs the list of all. */
export async function findSubject(look: Pick<NatsInspector, "subjects">, given: string): Promise<Found> {
  const parts = given.split(".");
  const [tenant, id] = parts.length === 2 ? parts : ["*", parts[0]];
  if (
    parts.length > 2 ||
    id === undefined ||
    !TOKEN.test(id) ||
    (tenant !== "*" && !TOKEN.test(tenant ?? ""))
  ) {
    return {
      none: `"${given}" is no id: it holds letters, digits, "-" and "_", and perhaps its tenant before a dot.`,
    };
  }
  const list = async (idOrAll: string): Promise<Subject[]> => {
    const lists = await Promise.all(
      PLACES.map(async ({ kind, stream, tenantAt, idAt, subjectOf }) => {
        const subjects = await look.subjects(stream, subjectOf(tenant ?? "*", idOrAll));
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
      none: `Nothing is known of "${given}": no session or task has an id that begins so, or all of it is gone by age.`,
    };
  }
  return candidates.length === 1 ? { found: only } : { several: candidates.slice(0, SHOWN) };
}

function distinct(subjects: readonly Subject[]): Subject[] {
  const known = new Map(
    subjects.map((subject) => [`${subject.kind}.${subject.tenant}.${subject.id}`, subject]),
  );
  return [...known.values()].sort((a, b) => a.id.localeCompare(b.id));
}
