// The frame around every page: menu, search, bell, account; what is said over all pages.
import { useEffect, useRef, useState } from "preact/hooks";
import { html } from "../kit/html.js";
import { api } from "../kit/api.js";
import { Icon } from "../kit/icons.js";
import { t } from "../kit/messages.js";
import { navigate, route } from "../kit/route.js";
import { end, events, follow, online, resumed, signedOut, user } from "../kit/session.js";
import { Confirmations, Dialog, shown } from "../kit/dialog.js";
import { Copyable, Empty, PageHead } from "../kit/states.js";
import { Toasts } from "../kit/toast.js";
import { UpgradeDialog } from "../kit/upgrade.js";
import { Contribution, contributions, loadContributions, pageAt, titleOf } from "./contribution.js";
import { Bell } from "./bell.js";
import { Home } from "./home.js";
import { Logo } from "./logo.js";
import { Palette } from "./palette.js";
import { SignIn, LanguageChoice } from "./sign_in.js";

const THEMES = ["auto", "light", "dark"];
const MENUS = ["main", "system", "settings"];

export function Frame({ enter, leave }) {
  const [searching, search] = useState(false);
  const [menu, open] = useState(false);
  const main = useRef(null);
  const { path } = route.value;
  const page = path === "/" ? null : pageAt(path);
  const title = path === "/" ? t("home") : page ? titleOf(page) : t("not-found-title");

  useEffect(() => {
    const press = (event) => {
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") { event.preventDefault(); search(true); }
    };
    addEventListener("keydown", press);
    const ends = [follow("/api/events", () => {}), resumed(() => loadContributions().catch(() => {})), events("license.changed", () => loadContributions().catch(() => {}))];
    return () => { removeEventListener("keydown", press); ends.forEach((stop) => stop()); };
  }, []);

  const first = useRef(true);
  useEffect(() => {
    document.title = `${title} · Cloud OS`;
    open(false);
    if (first.current) { first.current = false; return undefined; }
    // a screen reader says where one is, and Tab goes on from there; the heading may come with the page's module
    let tries = 0;
    const look = setInterval(() => {
      const heading = main.current?.querySelector("h1");
      if (heading || ++tries > 40) { clearInterval(look); heading?.focus({ preventScroll: true }); }
    }, 25);
    return () => clearInterval(look);
  }, [path]);

  const out = async () => {
    try { await api("/api/auth/logout", { method: "POST" }); } catch { /* it ends here in any case */ }
    end();
    leave();
  };
  return html`
    <a class="skip" href="#main" onClick=${(e) => { e.preventDefault(); main.current.focus(); }}>${t("skip")}</a>
    <div class="frame">
      <header class="top">
        <button type="button" class="button icon-only menu-button" aria-label=${t("menu")} aria-expanded=${menu} onClick=${() => open(true)}><${Icon} name="menu" /></button>
        <a class="brand" href="/" aria-label="Cloud OS"><${Logo} size=${28} /><span>Cloud OS</span></a>
        <button type="button" class="search-button" onClick=${() => search(true)}><${Icon} name="search" size=${18} /><span>${t("search")}</span><kbd>${/Mac|iP/.test(navigator.platform) ? "⌘K" : "Ctrl K"}</kbd></button>
        <div class="top-right"><${Bell} /><${Account} out=${out} /></div>
      </header>
      <nav class="side" aria-label=${t("menu")}><${Menu} path=${path} /></nav>
      <main id="main" ref=${main} tabindex="-1">
        ${!online.value && html`<p class="banner" role="status"><${Icon} name="alert" size=${18} />${t("offline")}</p>`}
        ${path === "/" ? html`<${Home} />` : page ? html`<${Contribution} key=${page.path} part=${page} what="Page" path=${path} rest=${path.slice(page.path.replace(/\/\*$/, "").length + 1)} query=${route.value.query} />` : html`<${NotFound} path=${path} />`}
      </main>
    </div>
    ${menu && html`<${Drawer} close=${() => open(false)} path=${path} />`}
    ${searching && html`<${Palette} close=${() => search(false)} />`}
    ${signedOut.value && html`<${Dialog} title=${t("session-ended")} closable=${false} size="small" close=${() => {}}><p>${t("session-ended-text")}</p><${SignIn} over name=${user.value.username} done=${enter} />
      <div class="door-links"><button type="button" class="button quiet" onClick=${() => { end(); leave(); }}>${t("sign-in-other")}</button></div></${Dialog}>`}
    ${shown.value.map((each, place) => html`<${Dialog} key=${place} title=${each.title} close=${each.settle} size="small"><p>${each.text}</p><${Copyable} value=${each.value} label=${each.title} /><div class="dialog-actions"><button type="button" class="button primary" onClick=${each.settle}>${t("shown-once-done")}</button></div></${Dialog}>`)}
    <${Confirmations} /><${UpgradeDialog} /><${Toasts} />`;
}

export function menuEntries() {
  const pages = contributions.value?.pages ?? [];
  const home = { path: "/", title: t("home"), icon: "home", menu: "main", order: 0 };
  const entries = pages.filter((page) => page.menu !== "none").map((page) => ({ ...page, path: page.path.replace(/\/\*$/, ""), title: titleOf(page) }));
  return [home, ...entries].sort((a, b) => a.order - b.order || a.title.localeCompare(b.title));
}

function Menu({ path }) {
  const entries = menuEntries();
  return MENUS.map((group) => {
    const own = entries.filter((entry) => entry.menu === group);
    if (!own.length) return null;
    return html`<div class="menu-group" key=${group}>${group !== "main" && html`<h2>${t(`menu-${group}`)}</h2>`}<ul>
      ${own.map((entry) => {
        const here = entry.path === "/" ? path === "/" : path === entry.path || path.startsWith(`${entry.path}/`);
        return html`<li key=${entry.path}><a href=${entry.path} aria-current=${here ? "page" : undefined}><${Icon} name=${entry.icon} /><span>${entry.title}</span>${entry.locked && html`<${Icon} name="lock" size=${14} /><span class="visually-hidden">${t("locked")}</span>`}</a></li>`;
      })}</ul></div>`;
  });
}

function Drawer({ close, path }) {
  const dialog = useRef(null);
  useEffect(() => {
    const opener = document.activeElement;
    dialog.current.showModal();
    return () => opener?.isConnected && opener.focus();
  }, []);
  return html`<dialog class="drawer" ref=${dialog} aria-label=${t("menu")} onCancel=${(e) => { e.preventDefault(); close(); }} onClick=${(e) => e.target === dialog.current && close()}>
    <div class="drawer-body"><div class="drawer-head"><span class="brand"><${Logo} size=${28} /><span>Cloud OS</span></span><button type="button" class="button icon-only" aria-label=${t("close")} onClick=${close}><${Icon} name="close" /></button></div>
    <nav aria-label=${t("menu")} onClick=${(e) => e.target.closest("a") && close()}><${Menu} path=${path} /></nav></div></dialog>`;
}

// A button with what it opens below it; the browser's popover closes it by Escape and by a click elsewhere.
function Account({ out }) {
  const [theme, set] = useState(localTheme());
  const box = useRef(null);
  const choose = (wanted) => {
    set(wanted);
    if (wanted === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = wanted;
    try { localStorage.setItem("cloudos.theme", wanted); } catch { /* until the page is loaded again */ }
  };
  const own = contributions.value.pages.find((page) => page.path === "/account");
  return html`<button type="button" class="button icon-only" popovertarget="account-menu" aria-label=${t("account-of", { name: user.value.username })}><${Icon} name="user" /></button>
    <div id="account-menu" class="popover" popover="auto" ref=${box}>
      <p class="who"><b>${user.value.username}</b><span class="muted">${t(`role-${user.value.role}`)}</span></p>
      <fieldset class="segments"><legend>${t("theme")}</legend>${THEMES.map((each) => html`<label key=${each}><input type="radio" name="theme" value=${each} checked=${theme === each} onChange=${() => choose(each)} /><span><${Icon} name=${{ auto: "auto", light: "sun", dark: "moon" }[each]} size=${16} />${t(`theme-${each}`)}</span></label>`)}</fieldset>
      <${LanguageChoice} />
      ${own && html`<a class="row" href="/account" onClick=${() => box.current.hidePopover()}><${Icon} name="gear" size=${18} />${t("page-account")}</a>`}
      <button type="button" class="row" onClick=${out}><${Icon} name="out" size=${18} />${t("sign-out")}</button>
    </div>`;
}

function localTheme() {
  try { return localStorage.getItem("cloudos.theme") ?? "auto"; } catch { return "auto"; }
}

function NotFound({ path }) {
  return html`<${PageHead} title=${t("not-found-title")} /><${Empty} icon="search" title=${t("not-found", { path })}><button type="button" class="button" onClick=${() => navigate("/")}>${t("to-home")}</button></${Empty}>`;
}
