// One app: its state and what can be done, how much it uses, its log, its settings, and what happened to it.
import { api, attempt, bytes, can, Failure, html, Icon, Meter, number, PageHead, percent, Progress, Resource, SchemaForm, Slot, State, Sparkline, t, Tile, Time, toast, useOperation, useResource, navigate, Empty, confirm } from "cloudos";
import { useEffect, useMemo, useState } from "preact/hooks";
import { addressOf } from "./address.js";
import { uninstall } from "./apps.js";
import { schemaOf } from "./install.js";
import { LogView } from "./log_view.js";

const TABS = ["overview", "logs", "settings", "history"];
const BUSY = ["installing", "updating", "uninstalling"];

export function AppPage({ id, tab }) {
  const app = useResource(`/api/apps/${id}`, { events: ["app.", "operation.finished"] });
  if (app.error?.status === 404) return html`<${PageHead} title=${t("apps-gone")} back=${{ href: "/apps", title: t("page-apps") }} /><div class="card"><${Empty} icon="apps" title=${t("apps-gone-text")} /></div>`;
  return html`<${Resource} of=${app}>${(found) => html`<${App} app=${found} tab=${TABS.includes(tab) ? tab : "overview"} reload=${app.reload} />`}</${Resource}>`;
}

function App({ app, tab, reload }) {
  const [busy, work] = useState("");
  const writer = can("apps:write");
  const address = addressOf(app);
  const run = async (verb) => {
    work(verb);
    await attempt(() => api(`/api/apps/${app.id}/${verb}`, { method: "POST" }), t(`apps-${verb}-done`, { name: app.name }));
    work("");
    reload();
  };
  const button = (verb, icon) => html`<button type="button" class="button" disabled=${Boolean(busy)} aria-busy=${busy === verb} onClick=${() => run(verb)}><${Icon} name=${icon} size=${16} />${t(`apps-${verb}`)}</button>`;
  const operation = useOperation(BUSY.includes(app.status) ? app.operation_id : null, reload);
  const up = app.status === "running";
  const down = ["stopped", "crashed"].includes(app.status);
  return html`<${PageHead} title=${app.name} back=${{ href: "/apps", title: t("page-apps") }} lead=${html`<span class="row-line"><${State} value=${app.status} /><span>${app.template} ${app.version}</span></span>`}>
      ${up && address && html`<a class="button primary" href=${address} target="_blank" rel="noopener noreferrer"><${Icon} name="open" size=${16} />${t("apps-open")}</a>`}
      ${writer && down && button("start", "play")}${writer && up && html`${button("restart", "restart")}${button("stop", "stop")}`}
      <${Slot} name="app.page" about=${app} />
      ${writer && !BUSY.includes(app.status) && html`<button type="button" class="button danger-text" onClick=${async () => (await uninstall(app)) && navigate("/apps")}><${Icon} name="trash" size=${16} />${t("apps-remove")}</button>`}
    </${PageHead}>
    <nav class="tabs" aria-label=${app.name}>${TABS.filter((each) => each !== "history" || can("audit:read")).map((each) => html`<a key=${each} href=${each === "overview" ? `/apps/${app.id}` : `/apps/${app.id}/${each}`} aria-current=${tab === each ? "page" : undefined}>${t(`apps-tab-${each}`)}</a>`)}</nav>
    ${BUSY.includes(app.status) && html`<div class="card section"><${Progress} operation=${operation} /></div>`}
    ${app.error && html`<div class="failure" role="alert"><${Icon} name="alert" /><div><p class="failure-title">${t("apps-trouble", { state: t(`state-${app.status}`, null, app.status) })}</p><p>${app.error}</p></div></div>`}
    ${tab === "overview" && html`<${Overview} app=${app} writer=${writer} reload=${reload} />`}
    ${tab === "logs" && html`<${LogView} app=${app} />`}
    ${tab === "settings" && html`<${Settings} app=${app} writer=${writer} reload=${reload} />`}
    ${tab === "history" && html`<${History} app=${app} />`}`;
}

function Overview({ app, writer, reload }) {
  const address = addressOf(app);
  const ports = Object.entries(app.ports ?? {});
  const failing = ["crashed", "failed"].includes(app.status);
  return html`<div class="columns">
    ${app.status === "running" && html`<${Use} id=${app.id} />`}
    ${failing && html`<${LastWords} app=${app} />`}
    <section class="card"><h2>${t("apps-about")}</h2><dl class="facts">
      ${address && html`<dt>${t("apps-address")}</dt><dd><a href=${address} target="_blank" rel="noopener noreferrer">${address}</a></dd>`}
      ${ports.length > 0 && html`<dt>${t("apps-ports")}</dt><dd>${ports.map(([name, port]) => `${name}: ${port}`).join(", ")}</dd>`}
      <dt>${t("apps-services")}</dt><dd>${app.services.join(", ")}</dd>
      <dt>${t("apps-installed-at")}</dt><dd><${Time} value=${app.created_at} relative=${false} /></dd>
      <dt>${t("apps-changed-at")}</dt><dd><${Time} value=${app.updated_at} /></dd>
      ${app.rights.length > 0 && html`<dt>${t("apps-rights")}</dt><dd>${app.rights.map((right) => html`<code class="image" key=${right}>${right}</code>`)}</dd>`}</dl></section>
    ${writer && html`<${Update} app=${app} reload=${reload} />`}
    ${failing && can("audit:read") && html`<section class="card"><h2>${t("apps-before")}</h2><${HistoryList} app=${app} limit=${8} /></section>`}
  </div>`;
}

const KEPT = 60;

function Use({ id }) {
  const stats = useResource(`/api/apps/${id}/stats`, { refresh: 30 });
  const [past, add] = useState([]);
  useEffect(() => { if (stats.data) add((old) => [...old, stats.data].slice(-KEPT)); }, [stats.data]);
  return html`<section class="card"><h2>${t("apps-use")}</h2><${Resource} of=${stats}>${(now) => html`<div class="uses">
      <div><span class="muted">${t("apps-cpu")}</span><p class="figure"><b>${percent(now.cpu_percent)}</b></p><${Sparkline} values=${past.map((each) => each.cpu_percent)} /></div>
      <div><span class="muted">${t("apps-memory")}</span><p class="figure"><b>${number(now.memory_usage_mb)}</b> MB ${now.memory_limit_mb > 0 && html`<span class="muted">${t("apps-of", { most: number(now.memory_limit_mb) })}</span>`}</p>${now.memory_limit_mb > 0 && html`<${Meter} value=${(now.memory_usage_mb / now.memory_limit_mb) * 100} label=${t("apps-memory")} text=${`${now.memory_usage_mb} MB`} />`}</div>
      <div><span class="muted">${t("apps-network")}</span><p>↓ ${bytes(now.network_rx_bytes)} · ↑ ${bytes(now.network_tx_bytes)}</p></div>
      <div><span class="muted">${t("apps-disk")}</span><p>${number(now.disk_usage_mb)} MB</p></div></div>`}</${Resource}></section>`;
}

function LastWords({ app }) {
  const logs = useResource(`/api/apps/${app.id}/logs?lines=20`);
  return html`<section class="card"><h2>${t("apps-last-lines")}</h2><${Resource} of=${logs}>${(found) => found.lines.length ? html`<pre class="lines" tabindex="0" role="region" aria-label=${t("apps-last-lines")}>${found.lines.map((line) => line.message).join("\n")}</pre>` : html`<p class="muted">${t("logs-none")}</p>`}</${Resource}>
    <p><a href=${`/apps/${app.id}/logs`}>${t("apps-whole-log")}</a></p></section>`;
}

function Update({ app, reload }) {
  const template = useResource(`/api/templates/${encodeURIComponent(app.template)}`);
  if (!template.data || template.data.version === app.version || BUSY.includes(app.status)) return null;
  const go = async () => {
    if (!(await confirm({ title: t("update-of", { name: app.name }), text: t("update-text", { from: app.version, to: template.data.version }), action: t("update"), danger: false }))) return;
    try {
      await api(`/api/apps/${app.id}`, { method: "PUT", body: { version: "latest" } });
    } catch (error) {
      const rights = error.body?.rights ?? [];
      if (error.code !== "template_not_allowed" || !rights.length) return toast(error.message, { kind: "bad" });
      if (!(await confirm({ title: t("update-rights"), text: rights.join("\n"), action: t("update-allow") }))) return;
      if ((await attempt(() => api(`/api/apps/${app.id}`, { method: "PUT", body: { version: "latest", allow: rights } }))) === undefined) return;
    }
    reload();
  };
  return html`<section class="card"><h2>${t("update-there")}</h2><p>${t("update-versions", { from: app.version, to: template.data.version })}</p><p class="muted">${t("update-back")}</p><div class="form-actions"><button type="button" class="button primary" onClick=${go}>${t("update")}</button></div></section>`;
}

function Settings({ app, writer, reload }) {
  const template = useResource(`/api/templates/${encodeURIComponent(app.template)}`);
  return html`<section class="card narrow"><h2>${t("apps-tab-settings")}</h2><${Resource} of=${template}>${(found) => found.config.length ? html`<${SettingsForm} app=${app} template=${found} writer=${writer} reload=${reload} />` : html`<p class="muted">${t("settings-none")}</p>`}</${Resource}></section>`;
}

function SettingsForm({ app, template, writer, reload }) {
  const schema = useMemo(() => schemaOf(template.config, false), [template]);
  const value = useMemo(() => app.config, [app.updated_at]);
  const send = async (config) => {
    if (!Object.keys(config).length) return toast(t("settings-same"));
    await api(`/api/apps/${app.id}`, { method: "PUT", body: { config } });
    toast(t("settings-sent"));
    return reload();
  };
  return html`<p class="muted">${t("settings-text")}</p><${SchemaForm} schema=${schema} value=${value} send=${send} prefix="config." onlyChanged disabled=${!writer || BUSY.includes(app.status)} />`;
}

function History({ app }) {
  return html`<section class="card"><h2>${t("apps-tab-history")}</h2><${HistoryList} app=${app} limit=${100} /></section>`;
}

function HistoryList({ app, limit }) {
  const entries = useResource(`/api/audit/logs?limit=${limit}&resource=${app.id}`, { events: ["app."] });
  if (entries.error?.status === 404) return html`<${Failure} error=${entries.error} />`;
  return html`<${Resource} of=${entries}>${(found) => found.length ? html`<ol class="history">${found.map((entry) => html`<li key=${entry.id}><${Time} value=${entry.timestamp} /><div><p>${entry.details || entry.action}</p><small>${entry.actor.name} · <code>${entry.action}</code></small></div></li>`)}</ol>` : html`<p class="muted">${t("history-none")}</p>`}</${Resource}>`;
}
