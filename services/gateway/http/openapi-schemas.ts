// Makes the generated OpenAPI document readable: only the schemas that are used, under their own names.

const SCHEMAS = "#/components/schemas/";
/** The generator's place for parts of recursive schemas: here only "any JSON value". */
const SHARED = "__shared";
const ANY_JSON = `${SCHEMAS}${SHARED}#/$defs/schema0`;

type Json = Record<string, unknown>;

/**
 * The generator writes each named schema twice: for requests (`…Input`) and for answers. Hardly any schema is used for
 * both, so the unused half is dropped, and an `…Input` without a counterpart loses its suffix.
 */
export function namedSchemas<T extends object>(document: T): T {
  const whole = structuredClone(document) as Json & { components?: { schemas?: Json } };
  const schemas = whole.components?.schemas ?? {};
  const shared = schemas[SHARED] as { $defs?: Json } | undefined;
  if (shared?.$defs?.schema0 !== undefined) schemas.AnyJson = shared.$defs.schema0;
  delete schemas[SHARED];

  const { components: _, ...rest } = whole;
  const used = reachable(rest, schemas);
  const nameOf = (name: string): string => {
    const short = name.replace(/Input$/, "");
    return used.has(short) ? name : short;
  };
  const kept = Object.fromEntries([...used].map((name) => [nameOf(name), schemas[name]]));
  return rewrite({ ...whole, components: { ...whole.components, schemas: kept } }, nameOf) as T;
}

const targetOf = (ref: string): string => (ref === ANY_JSON ? "AnyJson" : ref.slice(SCHEMAS.length));

/** The names of all schemas that are referenced directly or indirectly. */
function reachable(from: unknown, schemas: Json): Set<string> {
  const found = new Set<string>();
  const look = (value: unknown): void => {
    if (typeof value !== "object" || value === null) return;
    for (const [key, child] of Object.entries(value)) {
      if (key !== "$ref" || typeof child !== "string") look(child);
      else if (child.startsWith(SCHEMAS) && !found.has(targetOf(child))) {
        found.add(targetOf(child));
        look(schemas[targetOf(child)]);
      }
    }
  };
  look(from);
  return found;
}

function rewrite(value: unknown, nameOf: (name: string) => string): unknown {
  if (Array.isArray(value)) return value.map((item) => rewrite(item, nameOf));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key, child]) => !isTrivialBound(key, child))
      .map(([key, child]) =>
        key === "$ref" && typeof child === "string" && child.startsWith(SCHEMAS)
          ? [key, SCHEMAS + nameOf(targetOf(child))]
          : [key, rewrite(child, nameOf)],
      ),
  );
}

/** Bounds that only state that an integer fits into a JavaScript number. */
const isTrivialBound = (key: string, value: unknown): boolean =>
  (key === "minimum" || key === "maximum") && Math.abs(value as number) === Number.MAX_SAFE_INTEGER;
