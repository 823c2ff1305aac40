// What happened while one was looking elsewhere: the stream's events in words, and how many of them are new.
import { useEffect, useRef, useState } from "preact/hooks";
import { api } from "../kit/api.js";
import { html } from "../kit/html.js";
import { Icon } from "../kit/icons.js";
import { t } from "../kit/messages.js";
import { can, events } from "../kit/session.js";
import { Time } from "../kit/states.js";

const MOST = 50;
const SEEN = "cloudos.seen";
// what one does oneself all day long, and what is no news
const QUIET = ["operation.", "dashboard.", "metrics", "user.login", "notes.", "note.", "memory.", "session."];
const GRAVE = ["app.crashed", "app.install_failed", "app.update_failed", "alert.fired", "backup.failed", "certificate.failed", "security.", "user.login_failed"];

export function Bell() {
  const [list, put] = useState([]);
  const [seen, see] = useState(read);
  const box = useRef(null);
  useEffect(() => {
    let gone = false;
    if (can("audit:read")) {
      api("/api/audit/logs", { query: { limit: 100 }, prompt: false }).then((entries) => !gone && put((old) => merge(old, entries.map((entry) => ({ id: entry.id, type: entry.action, text: entry.details || entry.action, time: entry.timestamp, resource: entry.resource })))), () => {});
    }
    const stop = events("", (event) => event.type && put((old) => merge(old, [{ id: event.id ?? `${event.type}${Date.now()}`, type: event.type, text: sentence(event), time: event.time ?? event.timestamp ?? new Date().toISOString(), resource: event.resource }])));
    return () => { gone = true; stop(); };
  }, []);
  const fresh = list.filter((each) => each.time > seen).length;
  const toggled = (event) => {
    if (event.newState === "open") return;
    const now = new Date().toISOString();
    see(now);
    try { localStorage.setItem(SEEN, now); } catch { /* they are new again next time */ }
  };
  return html`<button type="button" class="button icon-only bell" popovertarget="bell" aria-label=${t("bell", { count: fresh })}><${Icon} name="bell" />${fresh > 0 && html`<span class="badge" aria-hidden="true">${fresh > 9 ? "9+" : fresh}</span>`}</button>
    <div id="bell" class="popover wide" popover="auto" ref=${box} onToggle=${toggled}><h2>${t("bell-title")}</h2>
      ${list.length ? html`<ul class="happened">${list.map((each) => html`<li key=${each.id} class=${GRAVE.some((type) => each.type.startsWith(type)) ? "grave" : ""}><${Icon} name=${icon(each.type)} size=${18} /><div><p>${link(each, box)}</p><${Time} value=${each.time} /></div>${each.time > seen && html`<span class="new">${t("new")}</span>`}</li>`)}</ul>` : html`<p class="muted">${t("bell-empty")}</p>`}
    </div>`;
}

function merge(old, added) {
  const all = new Map([...old, ...added.filter((each) => !QUIET.some((type) => each.type.startsWith(type)) || GRAVE.includes(each.type))].map((each) => [`${each.type}${each.resource}${each.time}`, each]));
  return [...all.values()].sort((a, b) => (a.time < b.time ? 1 : -1)).slice(0, MOST);
}

function sentence(event) {
  return event.details || event.data?.details || t(`event-${event.type.replaceAll(".", "-")}`, { name: event.data?.name ?? event.data?.rule ?? event.resource ?? "" }, `${event.type}${event.data?.name ? `: ${event.data.name}` : ""}`);
}

function icon(type) {
  const area = type.split(".")[0];
  return { app: "apps", alert: "alert", user: "user", api_key: "key", domain: "globe", route: "route", webhook: "hook", certificate: "lock" }[area] ?? "info";
}

function link(each, box) {
  if (each.resource?.startsWith("app_") && each.type !== "app.uninstalled") return html`<a href=${`/apps/${each.resource}`} onClick=${() => box.current.hidePopover()}>${each.text}</a>`;
  return each.text;
}

function read() {
  try {
    if (!localStorage.getItem(SEEN)) localStorage.setItem(SEEN, new Date().toISOString()); // what was before one came is no news
    return localStorage.getItem(SEEN);
  } catch {
    return new Date().toISOString();
  }
}
