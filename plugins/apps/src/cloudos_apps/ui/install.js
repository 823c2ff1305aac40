// One template: what it is, what it asks for, the form of its settings, and the install as it goes on.
import { api, can, Copyable, html, Icon, PageHead, Progress, Resource, SchemaForm, t, Tile, useOperation, useResource } from "cloudos";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { addressOf } from "./address.js";

const LETTERS = "abcdefghjkmnpqrstuvwxyzABCDEFGHJKMNPQRSTUVWXYZ23456789";

function password(length) {
  const numbers = crypto.getRandomValues(new Uint32Array(length));
  return [...numbers].map((number) => LETTERS[number % LETTERS.length]).join("");
}

// A template's settings as a JSON Schema; `first` says that the app is new, and secrets are still to be given.
export function schemaOf(config, first = true) {
  const properties = {};
  for (const field of config) {
    const type = { integer: "integer", port: "integer", boolean: "boolean" }[field.type] ?? "string";
    const secret = field.secret || field.type === "password";
    const given = { title: field.label || field.name.replaceAll("_", " "), type, default: field.default };
    if (field.type === "choice") given.enum = field.choices;
    if (field.type === "port") Object.assign(given, { minimum: 1, maximum: 65535 });
    if (field.min !== undefined) given.minimum = field.min;
    if (field.max !== undefined) given.maximum = field.max;
    if (field.min_length !== undefined) given.minLength = field.min_length;
    if (field.max_length !== undefined) given.maxLength = field.max_length;
    if (field.pattern !== undefined) given.pattern = `^(?:${field.pattern})$`;
    if (secret) given.format = "password";
    if (secret && !first) given.description = t("settings-secret");
    else if (field.generate) given.description = t("settings-generated");
    else if (field.type === "port") given.description = t("settings-port");
    properties[field.name] = given;
  }
  return { type: "object", properties, required: first ? config.filter((field) => field.required && !field.generate).map((field) => field.name) : [] };
}

export function TemplatePage({ name }) {
  const template = useResource(`/api/templates/${encodeURIComponent(name)}`);
  const apps = useResource("/api/apps");
  return html`<${Resource} of=${template}>${(found) => html`<${Template} template=${found} apps=${apps.data ?? []} ready=${apps.data !== undefined || Boolean(apps.error)} />`}</${Resource}>`;
}

function Template({ template, apps, ready }) {
  const [running, run] = useState(null); // {app, credentials}
  const memory = template.services.reduce((sum, service) => sum + (service.memory_mb ?? 0), 0);
  const site = /^https?:/.test(template.website ?? "") ? template.website : null;
  return html`<${PageHead} title=${template.display_name} lead=${template.description} back=${{ href: "/store", title: t("page-store") }} />
    <div class="columns install">
      <section class="card"><h2>${running ? t("install-goes-on") : t("install-title")}</h2>
        ${running ? html`<${Installing} ...${running} again=${() => run(null)} />`
          : can("apps:write") ? (ready ? html`<${InstallForm} template=${template} apps=${apps} done=${run} />` : null)
          : html`<p class="muted">${t("install-not-allowed")}</p>`}</section>
      <aside class="card"><div class="row-line about"><${Tile} name=${template.display_name} /><div><b>${template.display_name}</b><div class="muted">${template.version}</div></div></div>
        <dl class="facts"><dt>${t("template-category")}</dt><dd>${template.category}</dd>
          <dt>${t("template-parts")}</dt><dd>${template.services.map((service) => html`<code class="image" key=${service.name}>${service.image}</code>`)}</dd>
          ${memory > 0 && html`<dt>${t("template-memory")}</dt><dd>${t("template-memory-up-to", { memory })}</dd>`}
          ${site && html`<dt>${t("template-site")}</dt><dd><a href=${site} target="_blank" rel="noopener noreferrer">${site.replace(/^https?:\/\//, "")}</a></dd>`}
          ${template.source && html`<dt>${t("template-source")}</dt><dd>${template.source}</dd>`}</dl></aside>
    </div>`;
}

function InstallForm({ template, apps, done }) {
  const taken = new Set(apps.map((app) => app.name));
  const free = useMemo(() => {
    const base = template.name.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 60) || "app";
    let found = base;
    for (let number = 2; taken.has(found); number += 1) found = `${base.slice(0, 58)}-${number}`;
    return found;
  }, []);
  const [rights, ask] = useState(template.rights);
  const [allowed, allow] = useState([]);
  const schema = useMemo(() => {
    const own = schemaOf(template.config);
    return { ...own, properties: { "app name": { title: t("install-name"), type: "string", pattern: "^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$", description: t("install-name-hint") }, ...own.properties }, required: ["app name", ...own.required] };
  }, [template]);
  const start = useMemo(() => {
    const value = { "app name": free };
    for (const field of template.config) if ((field.secret || field.type === "password") && field.required && !field.generate) value[field.name] = password(Math.min(Math.max(20, field.min_length ?? 0), field.max_length ?? 64));
    return value;
  }, [template]);
  const missing = rights.filter((right) => !allowed.includes(right));
  const box = useRef(null);
  const send = async ({ "app name": name, ...config }) => {
    if (missing.length) {
      box.current?.querySelector("input:not(:checked)")?.focus();
      throw new Error(t("install-allow-first"));
    }
    try {
      const app = await api("/api/apps", { method: "POST", body: { template: template.name, name, config, ...(rights.length ? { allow: rights } : {}) } });
      const credentials = template.config.filter((field) => field.type !== "boolean" && config[field.name] !== undefined && (field.secret || field.type === "password" || /user|mail|login/.test(field.name))).map((field) => ({ title: field.label || field.name, value: String(config[field.name]) }));
      done({ app, credentials: credentials.some(({ title }) => title) ? credentials : [] });
    } catch (error) {
      if (error.code === "template_not_allowed" && error.body.rights?.length) ask([...new Set([...rights, ...error.body.rights])]);
      if (error.code === "app_name_taken") error.fields = [{ path: "app name", message: error.message }];
      throw error;
    }
  };
  const secrets = Object.keys(start).length > 1;
  const more = template.config.filter((field) => field.generate || (!field.required && !field.secret)).map((field) => field.name);
  return html`<${SchemaForm} schema=${schema} value=${start} send=${send} submit=${t("apps-install")} prefix="config." more=${more}>
    ${secrets && html`<p class="note"><${Icon} name="info" size=${18} />${t("install-passwords")}</p>`}
    ${rights.length > 0 && html`<fieldset class="dangers" ref=${box}><legend><${Icon} name="alert" size=${18} />${t("install-rights")}</legend><p>${t("install-rights-text")}</p>
      ${rights.map((right) => html`<label class="check" key=${right}><input type="checkbox" checked=${allowed.includes(right)} onChange=${(e) => allow(e.currentTarget.checked ? [...allowed, right] : allowed.filter((each) => each !== right))} /><span>${explained(right)}<small><code>${right}</code></small></span></label>`)}</fieldset>`}
  </${SchemaForm}>`;
}

// A right in words: `web:host_path:/srv/media:ro`, `web:port:53/udp`, `web:privileged`.
function explained(right) {
  const [service, kind, ...rest] = right.split(":");
  const mode = rest.at(-1);
  const path = ["ro", "rw"].includes(mode) ? rest.slice(0, -1).join(":") : rest.join(":");
  return t(`right-${kind}${mode === "ro" ? "-ro" : ""}`, { service, what: path }, right);
}

function Installing({ app, credentials, again }) {
  const [end, finish] = useState(null);
  const [now, renew] = useState(app);
  const operation = useOperation(app.operation_id, async (done) => {
    try { renew(await api(`/api/apps/${app.id}`)); } catch { /* a failed install leaves nothing */ }
    finish(done);
  });
  const heading = useRef(null);
  useEffect(() => { if (end) heading.current?.focus(); }, [end]);
  const address = addressOf(now);
  const kept = credentials.length > 0 && html`<section class="credentials"><h3>${t("install-keep")}</h3><p class="muted">${t("shown-once-text")}</p>${credentials.map(({ title, value }) => html`<div class="field" key=${title}><span>${title}</span><${Copyable} value=${value} label=${title} /></div>`)}</section>`;
  if (!end) return html`<div class="stack"><${Progress} operation=${operation} cancel=${() => api(`/api/operations/${app.operation_id}/cancel`, { method: "POST" }).catch(() => {})} /><p class="muted">${t("install-leave")}</p>${kept}</div>`;
  if (end.state === "succeeded") return html`<div class="stack"><p class="done" role="status" tabindex="-1" ref=${heading}><${Icon} name="check" />${t("install-done", { name: now.name })}</p>
    <div class="row-line">${address && html`<a class="button primary" href=${address} target="_blank" rel="noopener noreferrer"><${Icon} name="open" size=${16} />${t("apps-open-of", { name: now.name })}</a>`}<a class="button" href=${`/apps/${now.id}`}>${t("apps-details")}</a></div>${kept}</div>`;
  return html`<div class="stack"><div class="failure" role="alert" tabindex="-1" ref=${heading}><${Icon} name="alert" /><div><p class="failure-title">${end.state === "cancelled" ? t("install-cancelled") : t("install-failed")}</p><p>${end.error?.message ?? end.message}</p></div></div>
    <div class="row-line"><button type="button" class="button primary" onClick=${again}>${t("try-again")}</button></div></div>`;
}
