// The plugins of this node: how each is, and why.
import { html, PageHead, Resource, State, t, Time, useResource } from "cloudos";

export function Page() {
  const plugins = useResource("/api/plugins", { refresh: 60 });
  return html`<${PageHead} title=${t("page-plugins")} lead=${t("plugins-lead")} />
    <${Resource} of=${plugins} lines=${8}>${(found) => html`<ul class="plugin-list">${[...found].sort((a, b) => a.title.localeCompare(b.title)).map((plugin) => html`<li class="card" key=${plugin.id}>
      <div class="row-line"><h2>${plugin.title}</h2><${State} value=${plugin.state === "running" && !plugin.health.ok ? "degraded" : plugin.state} /></div>
      <p class="muted">${plugin.distribution} ${plugin.version}</p>
      ${plugin.reason && html`<p class="plugin-reason">${plugin.reason}</p>`}
      ${plugin.health.detail && html`<p class=${plugin.health.ok ? "muted" : "plugin-reason"}>${plugin.health.detail}</p>`}
      ${plugin.prefixes.length > 0 && html`<p class="plugin-paths">${plugin.prefixes.map((prefix) => html`<code key=${prefix}>${prefix}</code> `)}</p>`}
    </li>`)}</ul>`}</${Resource}>`;
}
