// Search everywhere: pages, installed apps, what can be installed, notes. By Ctrl-K, and by keyboard alone.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { api } from "../kit/api.js";
import { html } from "../kit/html.js";
import { Icon } from "../kit/icons.js";
import { t } from "../kit/messages.js";
import { navigate } from "../kit/route.js";
import { can } from "../kit/session.js";
import { menuEntries } from "./frame.js";

const MOST = 7;
let templates = null; // they change seldom: once for a page load

async function everyTemplate() {
  const found = [];
  for (let last = null; ;) {
    const page = await api("/api/templates", { query: { limit: 500, after: last } });
    found.push(...page);
    if (page.length < 500) return found;
    last = page.at(-1).name;
  }
}

export function Palette({ close }) {
  const dialog = useRef(null);
  const [text, type] = useState("");
  const [found, put] = useState({ apps: [], templates: [], notes: [] });
  const [at, move] = useState(0);
  useEffect(() => {
    const opener = document.activeElement;
    dialog.current.showModal();
    if (can("apps:read")) {
      api("/api/apps").then((apps) => put((old) => ({ ...old, apps })), () => {});
      (templates ??= everyTemplate()).then((list) => put((old) => ({ ...old, templates: list })), () => (templates = null));
    }
    return () => opener?.isConnected && opener.focus();
  }, []);
  useEffect(() => {
    if (text.trim().length < 2 || !can("notes:read")) { put((old) => ({ ...old, notes: [] })); return undefined; }
    const aborter = new AbortController();
    const timer = setTimeout(() => api("/api/notes", { query: { q: text.trim(), limit: 5 }, signal: aborter.signal, prompt: false }).then((notes) => put((old) => ({ ...old, notes })), () => {}), 200);
    return () => { clearTimeout(timer); aborter.abort(); };
  }, [text]);
  const results = useMemo(() => {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (...parts) => words.every((word) => parts.some((part) => part?.toLowerCase().includes(word)));
    const groups = [
      ["pages", menuEntries().filter((page) => fits(page.title)).map((page) => ({ title: page.title, icon: page.icon, href: page.path }))],
      ["apps", found.apps.filter((app) => fits(app.name, app.template)).map((app) => ({ title: app.name, note: t(`state-${app.status}`, null, app.status), icon: "apps", href: `/apps/${app.id}` }))],
      ["store", words.length ? found.templates.filter((each) => fits(each.display_name, each.name, each.description, each.category)).map((each) => ({ title: each.display_name, note: each.description, icon: "store", href: `/store/${each.name}` })) : []],
      ["notes", found.notes.map((note) => ({ title: note.title, note: note.excerpt, icon: "note", href: `/notes?open=${note.id}` }))],
    ];
    return groups.flatMap(([group, all]) => all.slice(0, group === "pages" && !words.length ? 20 : MOST).map((each) => ({ ...each, group })));
  }, [text, found]);
  const here = Math.min(at, Math.max(0, results.length - 1));
  const go = (result) => { close(); navigate(result.href); };
  const press = (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const next = (here + (event.key === "ArrowDown" ? 1 : results.length - 1)) % (results.length || 1);
      move(next);
      requestAnimationFrame(() => document.getElementById(`found-${next}`)?.scrollIntoView({ block: "nearest" }));
    } else if (event.key === "Enter" && results[here]) {
      event.preventDefault();
      go(results[here]);
    }
  };
  return html`<dialog class="palette" ref=${dialog} aria-label=${t("search")} onCancel=${(e) => { e.preventDefault(); close(); }} onClick=${(e) => e.target === dialog.current && close()}>
    <div class="palette-box"><div class="palette-input"><${Icon} name="search" /><input type="text" role="combobox" aria-expanded="true" aria-controls="found" aria-activedescendant=${results.length ? `found-${here}` : undefined} aria-label=${t("search")} placeholder=${t("search-hint")} autofocus value=${text} onInput=${(e) => { type(e.currentTarget.value); move(0); }} onKeyDown=${press} />
      <button type="button" class="button icon-only" aria-label=${t("close")} onClick=${close}><${Icon} name="close" /></button></div>
    <p class="visually-hidden" role="status">${t("search-count", { count: results.length })}</p>
    ${results.length ? html`<div id="found" role="listbox" aria-label=${t("search-results")}>${results.map((result, place) => html`
      ${result.group !== results[place - 1]?.group && html`<div class="palette-group" role="presentation" key=${result.group}>${t(`search-${result.group}`)}</div>`}
      <div role="option" id=${`found-${place}`} key=${`${result.group}${result.href}`} aria-selected=${place === here} onClick=${() => go(result)} onMouseMove=${() => move(place)}><${Icon} name=${result.icon} size=${18} /><span class="palette-title">${result.title}</span>${result.note && html`<span class="muted clip">${result.note}</span>`}</div>`)}</div>`
    : html`<p class="palette-none">${t("search-none", { text })}</p>`}</div></dialog>`;
}
