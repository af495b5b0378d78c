// Checks whether a message or a text names a person, or one of the person's sessions and tasks.

/** The names to find. Without `parts`, everything matches. */
interface Wanted {
  readonly parts?: {
    readonly user?: string;
    readonly sessions: ReadonlySet<string>;
    readonly tasks: ReadonlySet<string>;
  };
}

/** Whether any text in a message is the id of the person, of a session or task, or derived from one. */
export function matchesPerson({ parts }: Wanted, message: unknown): boolean {
  if (parts === undefined) return true;
  const open: unknown[] = [message];
  for (let value = open.pop(); open.length > 0 || value !== undefined; value = open.pop()) {
    if (typeof value === "string" && (value === parts.user || isIdOf(parts, value))) return true;
    if (typeof value === "object" && value !== null) open.push(...Object.values(value));
  }
  return false;
}

/**
 * The same for a text that may be truncated or no JSON, by whole words: `hannah` does not match `ann`. A false match
 * does no harm, and a missed one would.
 */
export function isWord({ parts }: Wanted, text: string): boolean {
  if (parts === undefined) return true;
  if (parts.user !== undefined && hasWord(text, parts.user)) return true;
  return (text.match(/[A-Za-z0-9_-]+/g) ?? []).some((word) => isIdOf(parts, word));
}

/** Ids of claims and of a task's sessions are an id and a number, and an agent's identity contains one. */
function isIdOf({ sessions, tasks }: NonNullable<Wanted["parts"]>, word: string): boolean {
  const stem = word.replace(/^(agent|session)-/, "").replace(/-\d+$/, "");
  return [word, stem].some((id) => sessions.has(id) || tasks.has(id));
}

function hasWord(text: string, word: string): boolean {
  // Also in the form that it has inside of JSON.
  return [word, JSON.stringify(word).slice(1, -1)].some((form) => {
    for (let at = text.indexOf(form); at >= 0; at = text.indexOf(form, at + 1)) {
      const around = `${text[at - 1] ?? ""}${text[at + form.length] ?? ""}`;
      if (!/[A-Za-z0-9]/.test(around)) return true;
    }
    return false;
  });
}

/** Reads a field of JSON that may be truncated. */
export function fieldOf(text: string, field: string): string | undefined {
  return new RegExp(`"${field}"\\s*:\\s*"([^"\\\\]{1,128})"`).exec(text)?.[1];
}
