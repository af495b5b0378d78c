// The API's documentation: /openapi.json as a page, with nothing loaded from elsewhere.
const api = document.getElementById("api");

const node = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};

const spec = await fetch("/openapi.json").then((response) => response.json());
const resolve = (schema) =>
  schema?.$ref?.startsWith("#/components/schemas/")
    ? spec.components.schemas[schema.$ref.split("/").at(-1)]
    : schema;

api.replaceChildren(
  node("p", { textContent: spec.info.description.split("\n\n")[0] }),
  ...spec.info.description
    .split("\n\n")
    .slice(1)
    .map((text) => node("p", { textContent: text.replaceAll("`", "") })),
  ...spec.tags.map(showTag),
);

function showTag(tag) {
  const routes = Object.entries(spec.paths).flatMap(([path, methods]) =>
    Object.entries(methods)
      .filter(([, route]) => route.tags?.includes(tag.name))
      .map(([method, route]) => showRoute(method, path, route)),
  );
  return node(
    "section",
    { className: "card" },
    node("h2", { textContent: `${tag.name}: ${tag.description}` }),
    ...routes,
  );
}

function showRoute(method, path, route) {
  const body = Object.values(route.requestBody?.content ?? {})[0]?.schema;
  const parts = [node("p", { textContent: route.description ?? "" })];
  if (route.parameters?.length > 0) {
    parts.push(
      fieldTable(
        "Parameters",
        route.parameters.map(({ name, in: place, required, schema, description }) => [
          `${name} (${place})`,
          typeOf(schema),
          required === true,
          description ?? schema?.description,
        ]),
      ),
    );
  }
  if (body !== undefined) parts.push(fieldTable("Body", fieldsOf(body)), example(method, path, body));
  for (const [status, { content }] of Object.entries(route.responses ?? {})) {
    const schema = Object.values(content ?? {})[0]?.schema;
    if (/^[45]/.test(status) || schema === undefined) continue;
    parts.push(fieldTable(`Answer ${status}`, fieldsOf(schema)));
  }
  return node(
    "details",
    {},
    node(
      "summary",
      {},
      node("span", { className: "method", textContent: method.toUpperCase() }),
      node("code", { textContent: path }),
      ` ${route.summary ?? ""}`,
    ),
    ...parts,
  );
}

function fieldsOf(schema) {
  const { properties = {}, required = [] } = resolve(schema) ?? {};
  return Object.entries(properties).map(([name, field]) => [
    name,
    typeOf(field),
    required.includes(name),
    field.description ?? resolve(field)?.description,
  ]);
}

function typeOf(schema) {
  const field = resolve(schema) ?? {};
  if (field.const !== undefined) return JSON.stringify(field.const);
  if (field.enum !== undefined) return field.enum.join(" | ");
  const choices = field.anyOf ?? field.oneOf;
  if (choices !== undefined) return choices.map(typeOf).join(" | ");
  if (field.type === "array") return `${typeOf(field.items)}[]`;
  return field.type ?? "any";
}

function fieldTable(title, rows) {
  if (rows.length === 0) return node("p", { textContent: `${title}: nothing.` });
  const header = ["Field", "Type", "", "What"].map((text) => node("th", { scope: "col", textContent: text }));
  return node(
    "table",
    {},
    node("caption", { textContent: title }),
    node("thead", {}, node("tr", {}, ...header)),
    node(
      "tbody",
      {},
      ...rows.map(([name, type, required, what]) =>
        node(
          "tr",
          {},
          node("td", {}, node("code", { textContent: name })),
          node("td", { textContent: type }),
          node("td", { textContent: required ? "required" : "" }),
          node("td", { textContent: what ?? "" }),
        ),
      ),
    ),
  );
}

function example(method, path, schema) {
  const { properties = {}, required = [] } = resolve(schema) ?? {};
  const body = Object.fromEntries(
    Object.entries(properties)
      .filter(([name]) => required.includes(name))
      .map(([name, field]) => [name, resolve(field)?.type === "integer" ? 3 : "…"]),
  );
  const data =
    Object.keys(body).length === 0
      ? ""
      : ` \\\n  -H 'Content-Type: application/json' -d '${JSON.stringify(body)}'`;
  return node("pre", { textContent: `curl -X ${method.toUpperCase()} ${location.origin}${path}${data}` });
}
