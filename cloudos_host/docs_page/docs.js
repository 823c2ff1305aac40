"use strict";

let token = null;

function element(name, text, properties = {}) {
  const made = Object.assign(document.createElement(name), properties);
  if (text) made.textContent = text;
  return made;
}

function resolve(schema, root, depth = 0) {
  if (!schema || depth > 6) return {};
  if (schema.$ref) {
    const name = schema.$ref.split("/").pop();
    return resolve(root.components?.schemas?.[name], root, depth + 1);
  }
  return schema;
}

function example(schema, root, depth = 0) {
  const plain = resolve(schema, root);
  if (depth > 5) return null;
  if (plain.default !== undefined) return plain.default;
  if (plain.anyOf) return example(plain.anyOf[0], root, depth + 1);
  if (plain.type === "object") {
    return Object.fromEntries(
      Object.entries(plain.properties ?? {}).map(([key, value]) => [key, example(value, root, depth + 1)]));
  }
  if (plain.type === "array") return [example(plain.items, root, depth + 1)];
  return { string: "", integer: 0, number: 0, boolean: false }[plain.type] ?? null;
}

function operation(method, path, described, root) {
  const box = element("details");
  const summary = element("summary");
  summary.append(element("b", method.toUpperCase()), element("code", path), element("span", "  " + (described.summary ?? "")));
  box.append(summary);
  box.dataset.words = `${method} ${path} ${described.summary ?? ""} ${described.description ?? ""}`.toLowerCase();
  box.addEventListener("toggle", () => {
    if (box.open && box.children.length === 1) box.append(details(method, path, described, root));
  });
  return box;
}

function details(method, path, described, root) {
  const body = element("div", "", { className: "body" });
  if (described.description) body.append(element("p", described.description));
  const inputs = (described.parameters ?? []).map((parameter) => {
    const input = element("input", "", { name: parameter.name, placeholder: parameter.schema?.type ?? "" });
    const label = element("label", `${parameter.name} (${parameter.in}) `);
    label.append(input);
    body.append(label);
    return { parameter, input };
  });
  const schema = described.requestBody?.content?.["application/json"]?.schema;
  let text = null;
  if (schema) {
    text = element("textarea", "", { value: JSON.stringify(example(schema, root), null, 2) });
    body.append(element("p", "Body"), text);
  }
  const output = element("pre", Object.keys(described.responses ?? {}).map((code) => `answers ${code}`).join("\n"));
  const send = element("button", "Send");
  send.addEventListener("click", async () => {
    if (method !== "get" && !confirm(`Really ${method.toUpperCase()} ${path}?`)) return;
    let target = path;
    const query = new URLSearchParams();
    for (const { parameter, input } of inputs) {
      if (parameter.in === "path") target = target.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
      else if (input.value) query.set(parameter.name, input.value);
    }
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    if (text) headers["Content-Type"] = "application/json";
    const address = query.size ? `${target}?${query}` : target;
    const answer = await fetch(address, { method: method.toUpperCase(), headers, body: text?.value });
    const received = await answer.text();
    let shown = received;
    try { shown = JSON.stringify(JSON.parse(received), null, 2); } catch { /* not JSON: shown as it is */ }
    output.textContent = `${answer.status} ${answer.statusText}\n${shown}`;
  });
  body.append(send, output);
  return body;
}

async function show() {
  const root = await (await fetch("/openapi.json")).json();
  const paths = document.getElementById("paths");
  paths.replaceChildren();
  for (const [path, methods] of Object.entries(root.paths)) {
    for (const [method, described] of Object.entries(methods)) paths.append(operation(method, path, described, root));
  }
}

document.getElementById("filter").addEventListener("input", (event) => {
  const wanted = event.target.value.toLowerCase();
  for (const box of document.querySelectorAll("details")) box.hidden = !box.dataset.words.includes(wanted);
});

document.getElementById("sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = new FormData(event.target);
  const answer = await fetch("/api/auth/login", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(Object.fromEntries(form)),
  });
  const tokens = await answer.json();
  token = tokens.access_token ?? null;
  document.getElementById("signed-in").textContent = token ? "Signed in." : tokens.message ?? "A second factor is needed.";
});

show().catch((error) => { document.getElementById("paths").textContent = `The description cannot be loaded: ${error}`; });
