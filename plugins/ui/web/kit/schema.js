// From a JSON Schema (as pydantic writes it) to fields, from fields to a value, and what is wrong with it. No DOM here.

// Follow references and what is "this or null".
export function resolve(schema, root) {
  let found = schema;
  for (let depth = 0; found?.$ref && depth < 20; depth += 1) {
    const target = found.$ref.replace(/^#\//, "").split("/").reduce((at, key) => at?.[key], root);
    found = { ...target, ...Object.fromEntries(Object.entries(found).filter(([key]) => key !== "$ref")) };
  }
  if (found?.allOf?.length === 1) return resolve({ ...found.allOf[0], ...without(found, "allOf") }, root);
  const choices = found?.anyOf ?? found?.oneOf;
  if (choices) {
    const real = choices.filter((each) => each.type !== "null");
    if (real.length < choices.length && real.length === 1) return { ...resolve(real[0], root), ...without(found, "anyOf", "oneOf"), nullable: true };
    if (real.length && real.every((each) => resolve(each, root).enum)) return { ...without(found, "anyOf", "oneOf"), enum: real.flatMap((each) => resolve(each, root).enum) };
    return { ...resolve(real[0], root), ...without(found, "anyOf", "oneOf"), nullable: real.length < choices.length };
  }
  return found ?? {};
}

// The fields of an object's schema: [{name, title, hint, kind, required, schema}].
export function fieldsOf(schema, root = schema) {
  const whole = resolve(schema, root);
  const required = new Set(whole.required ?? []);
  return Object.entries(whole.properties ?? {}).map(([name, part]) => {
    const own = resolve(part, root);
    return {
      name,
      title: own.title ?? spoken(name),
      hint: own.description ?? "",
      kind: kindOf(own, name, root),
      required: required.has(name),
      schema: own,
    };
  });
}

export function kindOf(schema, name = "", root = schema) {
  if (schema.enum || schema.const !== undefined) return "choice";
  if (schema.type === "boolean") return "boolean";
  if (schema.type === "integer" || schema.type === "number") return "number";
  if (schema.type === "array") return resolve(schema.items ?? {}, root).enum ? "choices" : "list";
  if (schema.type === "object") return schema.properties ? "object" : "json";
  if (schema.writeOnly || schema.format === "password" || /(password|secret|token|private_key)$/.test(name)) return "secret";
  if ((schema.maxLength ?? 0) > 400 || /(content|description|body|certificate)$/.test(name)) return "long";
  return schema.type === "string" || schema.type === undefined && !Object.keys(schema).length ? "text" : schema.type ? "text" : "json";
}

function spoken(name) {
  const text = name.replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

// The value of a field from what stands in its input; undefined leaves the member out.
export function parse(field, raw) {
  if (field.kind === "boolean") return Boolean(raw);
  if (field.kind === "choices") return raw;
  if (raw === "" || raw === undefined || raw === null) return field.schema.nullable && field.cleared ? null : undefined;
  if (field.kind === "number") {
    const value = Number(raw);
    return Number.isNaN(value) ? raw : value;
  }
  if (field.kind === "list") {
    const items = String(raw).split("\n").map((line) => line.trim()).filter(Boolean);
    const type = resolve(field.schema.items ?? {}, field.schema).type;
    return type === "object" ? items.map(parsed) : type === "integer" || type === "number" ? items.map(Number) : items;
  }
  if (field.kind === "json") return parsed(raw);
  return raw;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

// What stands in a field's input for a value.
export function shown(field, value) {
  if (field.kind === "boolean") return Boolean(value ?? field.schema.default ?? false);
  if (field.kind === "choices") return value ?? field.schema.default ?? [];
  const given = value ?? field.schema.default ?? "";
  if (given === null) return "";
  if (field.kind === "list") return Array.isArray(given) ? given.map((each) => (typeof each === "object" ? JSON.stringify(each) : each)).join("\n") : "";
  if (field.kind === "json") return given === "" ? "" : JSON.stringify(given, null, 2);
  return String(given);
}

// What is wrong with a value, as {key, values} of a message; null where nothing is. The node has the last word.
export function fault(field, value) {
  const { schema } = field;
  const missing = value === undefined || value === null || value === "" || (field.kind === "choices" && !value.length);
  if (missing) return field.required && schema.default === undefined ? { id: "form-required" } : null;
  if (field.kind === "number") {
    if (typeof value !== "number") return { id: "form-number" };
    if (schema.type === "integer" && !Number.isInteger(value)) return { id: "form-integer" };
    const least = schema.minimum ?? schema.exclusiveMinimum;
    const most = schema.maximum ?? schema.exclusiveMaximum;
    if (least !== undefined && (value < least || value === schema.exclusiveMinimum)) return { id: "form-least", values: { least } };
    if (most !== undefined && (value > most || value === schema.exclusiveMaximum)) return { id: "form-most", values: { most } };
  }
  if (typeof value === "string" && ["text", "secret", "long"].includes(field.kind)) {
    const length = [...value].length;
    if (schema.minLength !== undefined && length < schema.minLength) return { id: "form-short", values: { least: schema.minLength } };
    if (schema.maxLength !== undefined && length > schema.maxLength) return { id: "form-long", values: { most: schema.maxLength } };
    if (schema.pattern !== undefined && !matches(schema.pattern, value)) return { id: "form-pattern" };
  }
  if (field.kind === "json" && typeof value === "string") return { id: "form-json" };
  return null;
}

function matches(pattern, value) {
  try {
    return new RegExp(pattern, "u").test(value);
  } catch {
    return true; // an expression that only the node knows
  }
}

function without(object, ...names) {
  return Object.fromEntries(Object.entries(object).filter(([key]) => !names.includes(key)));
}
