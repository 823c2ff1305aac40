// Installed apps: the list at /apps, one of them at /apps/<id>.
import { attempt, can, confirm, api, Empty, html, Icon, PageHead, Resource, Slot, State, t, Tile, useResource } from "cloudos";
import { addressOf } from "./address.js";
import { AppPage } from "./app_page.js";

export function Page({ contribution, rest }) {
  const [id, tab] = rest.split("/");
  return id ? html`<${AppPage} key=${id} id=${id} tab=${tab || "overview"} base=${contribution.base} />` : html`<${AppList} />`;
}

function AppList() {
  const apps = useResource("/api/apps", { events: ["app.", "operation.finished"] });
  const installer = can("apps:write");
  return html`<${PageHead} title=${t("page-apps")}>${installer && html`<a class="button primary" href="/store"><${Icon} name="plus" size=${16} />${t("apps-install")}</a>`}</${PageHead}>
    <${Resource} of=${apps}>${(found) => found.length
      ? html`<ul class="app-list">${found.map((app) => html`<${AppRow} key=${app.id} app=${app} reload=${apps.reload} />`)}</ul>`
      : html`<div class="card"><${Empty} icon="apps" title=${t("apps-none")}><p>${t("apps-none-text")}</p>${installer && html`<a class="button primary" href="/store">${t("apps-to-store")}</a>`}</${Empty}></div>`}</${Resource}>`;
}

function AppRow({ app, reload }) {
  const address = addressOf(app);
  return html`<li class="card app-row">
    <${Tile} name=${app.name} />
    <div class="app-name"><a class="app-link" href=${`/apps/${app.id}`}>${app.name}</a><span class="muted clip">${app.template} ${app.version}</span></div>
    <${State} value=${app.status} />
    <div class="app-buttons">
      ${app.status === "running" && address && html`<a class="button small" href=${address} target="_blank" rel="noopener noreferrer" aria-label=${t("apps-open-of", { name: app.name })}><${Icon} name="open" size=${16} />${t("apps-open")}</a>`}
      ${can("apps:write") && ["stopped", "crashed"].includes(app.status) && html`<button type="button" class="button small" aria-label=${t("apps-start-of", { name: app.name })} onClick=${() => attempt(() => api(`/api/apps/${app.id}/start`, { method: "POST" })).then(reload)}><${Icon} name="play" size=${16} />${t("apps-start")}</button>`}
      <${Slot} name="apps.row" about=${app} />
    </div>
    ${app.error && html`<p class="app-error">${app.error}</p>`}
  </li>`;
}

// Ask what shall go, and let it go. Resolves with whether the app goes.
export async function uninstall(app) {
  const answer = await confirm({
    title: t("apps-remove-of", { name: app.name }),
    text: t("apps-remove-text"),
    action: t("apps-remove"),
    options: [{ name: "purge", label: t("apps-remove-data"), hint: t("apps-remove-data-hint") }],
  });
  if (!answer) return false;
  if (answer.purge && !(await confirm({ title: t("apps-purge-of", { name: app.name }), text: t("apps-purge-text"), action: t("apps-purge"), typed: app.name }))) return false;
  return (await attempt(() => api(`/api/apps/${app.id}`, { method: "DELETE", query: { purge: answer.purge } }), t("apps-removed", { name: app.name }))) !== undefined;
}
