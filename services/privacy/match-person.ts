// Whether a message or a text names a person, or a session or task of theirs.

/** What is looked for; all of it is meant when there is nothing to look for. */
interface Wanted {
  readonly parts?: {
    readonly user?: string;
    readonly sessions: ReadonlySet<string>;
    readonly tasks: ReadonlySet<string>;
  };
}

/** Whether any text in a message is the person's id, or that of a session, a task, or something made of those. */
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
 * The same of a text that need not be JSON, or is cut off: by whole words, so that `ann` isn't named by `hannah`. A
 * letter too many is no loss, and one too few would be.
 */
export function isWord({ parts }: Wanted, text: string): boolean {
  if (parts === undefined) return true;
  if (parts.user !== undefined && hasWord(text, parts.user)) return true;
  return (text.match(/[A-Za-z0-9_-]+/g) ?? []).some((word) => isIdOf(parts, word));
}

/** A dispatch's id, and the session of a task's attempt, are another id and a number; an agent's identity holds one. */
function isIdOf({ sessions, tasks }: NonNullable<Wanted["parts"]>, word: string): boolean {
  const stem = word.replace(/^(agent|session)-/, "").replace(/-\d+$/, "");
  return [word, stem].some((id) => sessions.has(id) || tasks.has(id));
}

function hasWord(text: string, word: string): boolean {
  // As it stands inside of JSON, too.
  return [word, JSON.stringify(word).slice(1, -1)].some((form) => {
    for (let at = text.indexOf(form); at >= 0; at = text.indexOf(form, at + 1)) {
      const around = `${text[at - 1] ?? ""}${text[at + form.length] ?? ""}`;
      if (!/[A-Za-z0-9]/.test(around)) return true;
    }
    return false;
  });
}

/** A field of a text that should be JSON, and may be cut off. */
export function fieldOf(text: string, field: string): string | undefined {
  return new RegExp(`"${field}"\\s*:\\s*"([^"\\\\]{1,128})"`).exec(text)?.[1];
}
