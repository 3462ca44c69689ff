/** Shows the OpenAPI document of this very program, and sends a GET where somebody wants to see an answer. */

const ANSWER_LIMIT = 20000; // characters of an answer that are shown
const DEPTH_LIMIT = 8;

function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** Text with `names` in it, as nodes: what stands between backticks is code. */
function prose(text) {
  return text.split("`").map((part, number) => (number % 2 ? h("code", {}, part) : part));
}

/** The name of a schema, for people: integer, list of LogLine, string or null. */
function kind(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf) return schema.anyOf.map(kind).join(" or ");
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(" or ");
  if (schema.type === "array") return `list of ${kind(schema.items)}`;
  if (schema.type === "object" && schema.additionalProperties) return `object of ${kind(schema.additionalProperties)}`;
  return schema.type ?? "anything";
}

/** All named models below a schema, in the order in which they are met. */
function models(schema, all, found = new Map(), depth = 0) {
  if (!schema || depth > DEPTH_LIMIT) return found;
  if (schema.$ref) {
    const name = schema.$ref.split("/").pop();
    if (found.has(name)) return found;
    found.set(name, all[name]);
    return models(all[name], all, found, depth + 1);
  }
  const below = [...(schema.anyOf ?? []), schema.items, schema.additionalProperties, ...Object.values(schema.properties ?? {})];
  for (const one of below) if (one && typeof one === "object") models(one, all, found, depth + 1);
  return found;
}

function table(head, rows) {
  return h(
    "table",
    {},
    h("thead", {}, h("tr", {}, ...head.map((words) => h("th", { scope: "col" }, words)))),
    h("tbody", {}, ...rows.map((cells) => h("tr", {}, ...cells.map((cell) => h("td", {}, cell))))),
  );
}

function modelTables(schema, all) {
  return [...models(schema, all)].filter(([, model]) => model?.properties).flatMap(([name, model]) => [
    h("h3", {}, name),
    ...(model.description ? [h("p", { class: "words" }, ...prose(model.description))] : []),
    table(["field", "type", "meaning"], Object.entries(model.properties).map(([field, one]) => [h("code", {}, field), kind(one), h("span", {}, ...prose(one.description ?? ""))])),
  ]);
}

function parameterTable(parameters) {
  if (!parameters.length) return [];
  const rows = parameters.map((one) => {
    const { minimum, maximum, default: usual } = one.schema;
    const bounds = [minimum !== undefined ? `≥ ${minimum}` : "", maximum !== undefined ? `≤ ${maximum}` : "", usual !== undefined ? `default ${usual}` : ""];
    return [h("code", {}, one.name), one.in, [kind(one.schema), ...bounds.filter(Boolean)].join(", "), h("span", {}, ...prose(one.description ?? ""))];
  });
  return [h("h3", {}, "Parameters"), table(["name", "in", "type", "meaning"], rows)];
}

/** A form that sends the request; only for GET, which changes nothing. */
function trial(path, operation) {
  const fields = operation.parameters.filter((one) => one.in !== "header").map((one) => {
    const input = h("input", { name: one.name, "data-in": one.in, autocomplete: "off", spellcheck: "false" });
    if (one.required) input.required = true;
    return h("label", {}, `${one.name} `, input, " ");
  });
  const answer = h("pre", { hidden: "", tabindex: "0" });
  const form = h("form", {}, ...fields, h("button", { type: "submit", class: "button" }, "Send"));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const query = new URLSearchParams();
    let target = path;
    for (const input of form.querySelectorAll("input")) {
      if (input.dataset.in === "path") target = target.replace(`{${input.name}}`, encodeURIComponent(input.value));
      else if (input.value) query.set(input.name, input.value);
    }
    answer.hidden = false;
    try {
      const got = await fetch(`..${target}${query.size ? `?${query}` : ""}`);
      const text = await got.text();
      const shown = got.headers.get("Content-Type")?.startsWith("application/json") ? JSON.stringify(JSON.parse(text), null, 2) : text;
      answer.textContent = `${got.status} ${got.statusText}\n${shown.slice(0, ANSWER_LIMIT)}`;
    } catch (error) {
      answer.textContent = `No answer: ${error.message}`;
    }
  });
  return [h("h3", {}, "Try it"), form, answer];
}

function operationView(path, method, operation, all) {
  const inside = h("div", { class: "inside" });
  const root = h(
    "details",
    { class: "operation", id: operation.operationId },
    h("summary", {}, h("span", { class: "method", "data-method": method }, method.toUpperCase()), h("span", { class: "path" }, path), h("span", { class: "words" }, " – ", ...prose(operation.summary))),
    inside,
  );
  root.dataset.text = `${method} ${path} ${operation.summary} ${operation.description}`.toLowerCase();
  root.addEventListener("toggle", () => {
    if (!root.open || inside.childElementCount) return;
    const responses = Object.entries(operation.responses);
    const content = Object.entries(responses[0][1].content)[0];
    const isJson = content[0] === "application/json";
    inside.append(
      h("p", {}, ...prose(operation.description || "")),
      ...parameterTable(operation.parameters),
      h("h3", {}, "Answers"),
      table(["status", "type", "meaning"], responses.map(([status, one]) => [status, Object.keys(one.content)[0], one.description])),
      ...modelTables(operation.requestBody?.content["application/json"].schema, all),
      ...modelTables(content[1].schema, all),
      ...Object.values(responses[0][1]["x-events"] ?? {}).flatMap((schema) => modelTables(schema, all)),
      ...(method === "get" && isJson ? trial(path, operation) : []),
    );
  });
  return root;
}

async function start() {
  const got = await fetch("openapi.json");
  if (!got.ok) throw new Error(`${got.status}`);
  const api = await got.json();
  document.getElementById("version").textContent = api.info.version;
  document.getElementById("about").textContent = api.info.description;
  const main = document.getElementById("operations");
  const tags = new Map();
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const tag = operation.tags[0];
      tags.set(tag, [...(tags.get(tag) ?? []), operationView(path, method, operation, api.components.schemas)]);
    }
  }
  main.replaceChildren(...[...tags].map(([tag, views]) => h("section", {}, h("h2", {}, tag), ...views)));
  main.setAttribute("aria-busy", "false");
  const filter = document.getElementById("filter");
  filter.addEventListener("input", () => {
    const wanted = filter.value.trim().toLowerCase();
    for (const view of main.querySelectorAll(".operation")) view.hidden = !view.dataset.text.includes(wanted);
    for (const part of main.querySelectorAll("section")) part.hidden = !part.querySelector(".operation:not([hidden])");
  });
}

start().catch((error) => {
  document.getElementById("state").textContent = `The description cannot be read: ${error.message}`;
});
