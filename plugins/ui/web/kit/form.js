// A form from a JSON Schema: labels, hints, all faults at once and beside their inputs, focus on the first of them.
import { useEffect, useId, useMemo, useRef, useState } from "preact/hooks";
import { html } from "./html.js";
import { t } from "./messages.js";
import { fault, fieldsOf, parse, resolve, shown } from "./schema.js";

// `send(value)` may raise an ApiError: what its `fields` say stands beside the inputs. `prefix` is cut off their paths.
export function SchemaForm({ schema, value, send, submit, prefix = "", onlyChanged = false, more = [], cancel, children, disabled = false }) {
  const fields = useMemo(() => fieldsOf(schema), [schema]);
  const first = useMemo(() => Object.fromEntries(fields.map((field) => [field.name, shown(field, value?.[field.name])])), [fields, value]);
  const [raw, set] = useState(first);
  const [faults, tell] = useState({});
  const [note, say] = useState(null);
  const [busy, work] = useState(false);
  const form = useRef(null);
  const id = useId();
  useEffect(() => { set(first); tell({}); }, [first]);

  const collect = () => {
    const found = {};
    const wrong = {};
    for (const field of fields) {
      const changed = JSON.stringify(raw[field.name]) !== JSON.stringify(first[field.name]);
      if (onlyChanged && !changed) continue;
      const given = parse({ ...field, cleared: changed }, raw[field.name]);
      const problem = fault(field, given);
      if (problem) wrong[field.name] = t(problem.id, problem.values);
      if (given !== undefined) found[field.name] = given;
    }
    return [found, wrong];
  };
  const show = (wrong) => {
    tell(wrong);
    const place = fields.find((field) => wrong[field.name]);
    requestAnimationFrame(() => place && form.current?.querySelector(`[data-field="${CSS.escape(place.name)}"]`)?.focus());
  };
  const go = async (event) => {
    event.preventDefault();
    const [found, wrong] = collect();
    say(null);
    if (Object.keys(wrong).length) return show(wrong);
    work(true);
    try {
      await send(found);
      tell({});
    } catch (error) {
      if (error.code === "upgrade_required") return;
      const beside = {};
      const rest = [];
      for (const { path, message } of error.fields ?? []) {
        const name = path.startsWith(prefix) ? path.slice(prefix.length).split(".")[0] : path;
        if (fields.some((field) => field.name === name)) beside[name] = beside[name] ? `${beside[name]}; ${message}` : message;
        else rest.push(path ? `${path}: ${message}` : message);
      }
      if (Object.keys(beside).length) show(beside);
      say(rest.length ? rest.join("; ") : Object.keys(beside).length ? null : error.message);
    } finally {
      work(false);
    }
  };
  const count = Object.keys(faults).length;
  const input = (field) => html`<${Field} key=${field.name} id=${`${id}-${field.name}`} field=${field} root=${schema} raw=${raw[field.name]} fault=${faults[field.name]}
    change=${(given) => { set((old) => ({ ...old, [field.name]: given })); if (faults[field.name]) tell(({ [field.name]: _, ...others }) => others); }} />`;
  return html`<form class="schema-form" ref=${form} onSubmit=${go} novalidate>
    ${count > 1 && html`<p class="form-note" role="alert">${t("form-faults", { count })}</p>`}
    ${note && html`<p class="form-note" role="alert">${note}</p>`}
    <fieldset disabled=${busy || disabled} class="plain">
      ${fields.filter((field) => !more.includes(field.name)).map(input)}
      ${more.length > 0 && html`<details class="more-fields" open=${more.some((name) => faults[name]) || undefined}><summary>${t("more-settings")}</summary><div class="stack">${fields.filter((field) => more.includes(field.name)).map(input)}</div></details>`}
      ${children}
      <div class="form-actions">
        ${cancel && html`<button type="button" class="button" onClick=${cancel}>${t("cancel")}</button>`}
        <button class="button primary" aria-busy=${busy}>${submit ?? t("save")}</button>
      </div>
    </fieldset>
  </form>`;
}

function Field({ id, field, root, raw, fault: wrong, change }) {
  const about = [field.hint && `${id}-hint`, wrong && `${id}-fault`].filter(Boolean).join(" ") || undefined;
  const common = { id, "data-field": field.name, "aria-describedby": about, "aria-invalid": wrong ? "true" : undefined, "aria-required": field.required ? "true" : undefined };
  const below = html`${field.hint && html`<small id=${`${id}-hint`}>${field.hint}</small>`}${wrong && html`<small class="fault" id=${`${id}-fault`}>${wrong}</small>`}`;
  if (field.kind === "boolean") {
    return html`<div class="field"><label class="check" for=${id}><input type="checkbox" ...${common} checked=${raw} onChange=${(e) => change(e.currentTarget.checked)} /><span>${field.title}</span></label>${below}</div>`;
  }
  if (field.kind === "choices") {
    const options = resolve(field.schema.items, root).enum;
    return html`<fieldset class="field" aria-describedby=${about}><legend>${field.title}</legend>
      ${options.map((each) => html`<label class="check" key=${each}><input type="checkbox" data-field=${field.name} checked=${raw.includes(each)} onChange=${(e) => change(e.currentTarget.checked ? [...raw, each] : raw.filter((other) => other !== each))} /><span>${each}</span></label>`)}${below}</fieldset>`;
  }
  const label = html`<label for=${id}>${field.title}${!field.required && html` <span class="optional">${t("optional")}</span>`}</label>`;
  const type = (event) => change(event.currentTarget.value);
  let input;
  if (field.kind === "choice") {
    const options = field.schema.enum ?? [field.schema.const];
    input = html`<select ...${common} value=${raw} onChange=${type}>${(!field.required || raw === "") && html`<option value=""></option>`}${options.filter((each) => each !== null).map((each) => html`<option key=${each} value=${String(each)}>${String(each)}</option>`)}</select>`;
  } else if (["long", "list", "json"].includes(field.kind)) {
    input = html`<textarea ...${common} rows=${field.kind === "list" ? 3 : 6} class=${field.kind === "json" ? "code" : ""} value=${raw} onInput=${type}></textarea>${field.kind === "list" && html`<small>${t("form-list")}</small>`}`;
  } else if (field.kind === "secret") {
    input = html`<input type="password" autocomplete="new-password" ...${common} value=${raw} onInput=${type} placeholder=${field.schema.placeholder} />`;
  } else if (field.kind === "number") {
    input = html`<input type="text" inputmode=${field.schema.type === "integer" ? "numeric" : "decimal"} ...${common} value=${raw} onInput=${type} />`;
  } else {
    input = html`<input type="text" autocomplete="off" ...${common} value=${raw} onInput=${type} />`;
  }
  return html`<div class="field">${label}${input}${below}</div>`;
}
