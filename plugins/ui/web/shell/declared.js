// Pages and widgets that are nothing but data: forms, tables and numbers.
import { useEffect, useState } from "preact/hooks";
import { api } from "../kit/api.js";
import { confirm, Dialog, showOnce } from "../kit/dialog.js";
import { SchemaForm } from "../kit/form.js";
import { member, number } from "../kit/format.js";
import { html } from "../kit/html.js";
import { t } from "../kit/messages.js";
import { Icon } from "../kit/icons.js";
import { useResource } from "../kit/resource.js";
import { Failure, Loading, PageHead, Resource } from "../kit/states.js";
import { Table } from "../kit/table.js";
import { attempt, toast } from "../kit/toast.js";
import { titleOf } from "./contribution.js";

export function Declared({ part, what }) {
  const name = encodeURIComponent(part.path ?? part.id);
  const sections = useResource(`/api/ui/declared?plugin=${part.plugin}&name=${name}`);
  const body = html`<${Resource} of=${sections}>${(found) => found.map((section, place) => html`<${Section} key=${place} section=${section} alone=${found.length === 1} />`)}</${Resource}>`;
  return what === "Page" ? html`<${PageHead} title=${titleOf(part)} />${body}` : body;
}

function Section({ section, alone }) {
  if (section.kind === "form") return html`<${DeclaredForm} section=${section} />`;
  if (section.kind === "stat") return html`<${Stat} section=${section} />`;
  return html`<${DeclaredTable} section=${section} alone=${alone} />`;
}

// `{name}` in a path is that member of the row.
export function fill(path, row) {
  return path.replace(/\{([^}]+)\}/g, (_, key) => encodeURIComponent(member(row, key) ?? ""));
}

function DeclaredForm({ section }) {
  const source = useResource(section.source);
  const send = async (value) => {
    const answer = await api(section.target, { method: section.method, body: value });
    toast(t("saved"));
    if (section.show && answer) await showOnce({ title: t("shown-once"), text: t("shown-once-text"), value: String(member(answer, section.show)) });
    source.reload();
  };
  const form = (value) => html`<section class="card"><h2>${section.title}</h2><${SchemaForm} schema=${section.schema} value=${value} send=${send} submit=${section.submit} disabled=${!section.editable} /></section>`;
  return section.source ? html`<${Resource} of=${source}>${form}</${Resource}>` : form({});
}

function Stat({ section }) {
  const source = useResource(section.source, { refresh: section.refresh });
  if (source.error && source.data === undefined) return html`<${Failure} error=${source.error} retry=${source.reload} compact />`;
  if (source.data === undefined) return html`<${Loading} lines=${1} />`;
  const value = member(source.data, section.value);
  return html`<p class="stat"><b>${typeof value === "number" ? number(value, 1) : String(value ?? "–")}</b> ${section.unit} ${section.title && html`<span class="muted">${section.title}</span>`}</p>`;
}

function DeclaredTable({ section, alone }) {
  const [pages, more] = useState([]);
  const source = useResource(section.paged ? `${section.source}${section.source.includes("?") ? "&" : "?"}limit=50` : section.source, { events: section.events });
  const [form, open] = useState(null); // {form, row}
  useEffect(() => more([]), [source.data]);
  const rows = [...(source.data ?? []), ...pages];
  const run = async (action, row) => {
    const name = row.name ?? row.title ?? row.hostname ?? row.domain ?? row.url ?? row.id;
    if (action.confirm && !(await confirm({ title: `${action.title}: ${name}`, text: action.confirm, action: action.title, danger: action.method === "DELETE" }))) return;
    const answer = await attempt(() => api(fill(action.path, row), { method: action.method, body: action.method === "DELETE" ? undefined : {} }), t("done-action", { action: action.title }));
    if (answer && action.show) await showOnce({ title: t("shown-once"), text: t("shown-once-text"), value: String(member(answer, action.show)) });
    source.reload();
  };
  const change = async (row) => {
    const whole = section.edit.source ? await attempt(() => api(fill(section.edit.source, row))) : row;
    if (whole) open({ form: section.edit, row: whole, title: section.edit.title || t("change") });
  };
  const next = async () => {
    const last = rows.at(-1);
    const found = await attempt(() => api(section.source, { query: { limit: 50, before: last.id } }));
    if (found) more([...pages, ...found]);
  };
  const actions = section.actions.length || section.edit ? (row) => html`
    ${section.edit && html`<button type="button" class="button small" onClick=${() => change(row)}>${t("change")}</button>`}
    ${section.actions.map((action) => html`<button type="button" key=${action.title} class=${`button small ${action.method === "DELETE" ? "danger-text" : ""}`} onClick=${() => run(action, row)}>${action.title}</button>`)}` : null;
  return html`<section class="section">
    <div class="section-head">${section.title && html`<h2>${section.title}</h2>`}
      ${section.create && html`<button type="button" class="button primary" onClick=${() => open({ form: section.create, row: null, title: section.create.title || t("add") })}><${Icon} name="plus" size=${16} />${section.create.title || t("add")}</button>`}</div>
    <div class="card flush"><${Resource} of=${source}>${() => html`<${Table} caption=${section.title || t("table")} columns=${section.columns} rows=${rows} actions=${actions} empty=${section.empty} sortable=${!section.paged} />
      ${section.paged && rows.length >= 50 && rows.length % 50 === 0 && html`<div class="more"><button type="button" class="button" onClick=${next}>${t("show-more")}</button></div>`}`}</${Resource}></div>
    ${form && html`<${FormDialog} ...${form} close=${() => open(null)} done=${source.reload} />`}
  </section>`;
}

function FormDialog({ form, row, title, close, done }) {
  const send = async (value) => {
    const answer = await api(row ? fill(form.target, row) : form.target, { method: form.method, body: value });
    close();
    done();
    toast(t("saved"));
    if (form.show && answer) await showOnce({ title: t("shown-once"), text: t("shown-once-text"), value: String(member(answer, form.show)) });
  };
  return html`<${Dialog} title=${title} close=${close}><${SchemaForm} schema=${form.schema} value=${row ?? undefined} send=${send} submit=${form.submit} onlyChanged=${Boolean(row)} cancel=${close} /></${Dialog}>`;
}
