// The apps on the home page, each with its state and the way in.
import { can, Empty, html, Icon, Resource, State, t, Tile, useResource } from "cloudos";
import { addressOf } from "./address.js";

export function Widget() {
  const apps = useResource("/api/apps", { events: ["app.", "operation.finished"] });
  return html`<${Resource} of=${apps}>${(found) => found.length
    ? html`<ul class="app-widget">${found.map((app) => {
      const address = app.status === "running" ? addressOf(app) : null;
      return html`<li key=${app.id}><a class="app-widget-link" href=${`/apps/${app.id}`}><${Tile} name=${app.name} size="small" /><span class="clip">${app.name}</span></a>${app.status !== "running" && html`<${State} value=${app.status} />`}
        ${address && html`<a class="button small quiet" href=${address} target="_blank" rel="noopener noreferrer" aria-label=${t("apps-open-of", { name: app.name })}>${t("apps-open")}<${Icon} name="open" size=${16} /></a>`}</li>`;
    })}</ul>`
    : html`<${Empty} icon="apps" title=${t("apps-none")}>${can("apps:write") && html`<a class="button small" href="/store">${t("apps-to-store")}</a>`}</${Empty}>`}</${Resource}>`;
}
