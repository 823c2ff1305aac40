// What plugins bring: the list of it, and a fence around each, so that one broken page leaves the rest alone.
import { Component } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { signal } from "@preact/signals";
import { api, OfflineError } from "../kit/api.js";
import { html } from "../kit/html.js";
import { loadMessages, language, t } from "../kit/messages.js";
import { Failure, Loading } from "../kit/states.js";
import { UpgradePrompt } from "../kit/upgrade.js";
import { can, events, online, permissions } from "../kit/session.js";
import { toast } from "../kit/toast.js";
import { Declared } from "./declared.js";

const API = 1;
const LIMIT = 10000; // a module that has not come by then is told of

export const contributions = signal(null); // {pages, widgets, actions}, for whom is signed in

export async function loadContributions() {
  const found = await api("/api/ui/contributions");
  permissions.value = new Set(found.permissions);
  contributions.value = found;
}

export function titleOf(part) {
  const id = part.path ? `page${part.path.replace(/\/\*$/, "").replaceAll("/", "-")}` : `widget-${part.id}`;
  return t(id.replaceAll(".", "-").replaceAll(":", "-"), null, part.title);
}

export function pageAt(path) {
  const pages = contributions.value?.pages ?? [];
  return pages.find((page) => page.path === path)
    ?? pages.filter((page) => page.path.endsWith("/*") && (path === page.path.slice(0, -2) || path.startsWith(page.path.slice(0, -1)))).sort((a, b) => b.path.length - a.path.length)[0];
}

// Show a page, a widget or an action: `what` is the name that its module exports.
export function Contribution({ part, what, ...rest }) {
  if (part.locked) return html`<${UpgradePrompt} problem=${part.locked} />`;
  if (part.api > API) return html`<${Failure} error=${{ message: t("contribution-newer", { title: part.title }) }} />`;
  if (!part.module) return html`<${Fence} part=${part}><${Declared} part=${part} what=${what} /></${Fence}>`;
  return html`<${Fence} key=${part.module} part=${part}><${Module} part=${part} what=${what} ...${rest} /></${Fence}>`;
}

class Fence extends Component {
  constructor() {
    super();
    this.state = { error: null };
  }
  static getDerivedStateFromError(error) {
    return { error };
  }
  componentDidCatch(error) {
    console.warn(`${this.props.part.plugin}: ${error?.stack ?? error}`);
  }
  render({ part, children }, { error }) {
    return error ? html`<${Broken} part=${part} error=${error} retry=${() => this.setState({ error: null })} />` : children;
  }
}

function Broken({ part, error, retry }) {
  return html`<${Failure} error=${{ message: t("contribution-broken", { title: part.title, plugin: part.plugin, reason: String(error?.message ?? error) }) }} retry=${retry} />`;
}

function Module({ part, what, ...rest }) {
  const [state, set] = useState({});
  const [attempt, again] = useState(0);
  useEffect(() => {
    let gone = false;
    set({});
    load(part, attempt).then((module) => !gone && set({ module }), (error) => !gone && set({ error }));
    return () => { gone = true; };
  }, [part.module, attempt, language.value]);
  const back = online.value;
  useEffect(() => { if (back && state.error) again(attempt + 1); }, [back]); // what did not load while the node was away
  if (state.error && !back) return html`<${Failure} error=${new OfflineError()} retry=${() => again(attempt + 1)} />`;
  if (state.error) return html`<${Broken} part=${part} error=${state.error} retry=${() => again(attempt + 1)} />`;
  if (!state.module) return html`<${Loading} />`;
  const View = state.module[what];
  if (View) return html`<${View} contribution=${part} ...${rest} />`;
  if (state.module.mount) return html`<${Mounted} mount=${state.module.mount} part=${part} ...${rest} />`;
  return html`<${Broken} part=${part} error=${new Error(t("contribution-exports", { what }))} />`;
}

async function load(part, attempt) {
  const late = new Promise((_, refuse) => setTimeout(() => refuse(new Error(t("contribution-late"))), LIMIT));
  const style = part.style ? sheet(part.style) : null;
  const url = attempt ? `${part.module}?again=${attempt}` : part.module; // a module that failed is kept as such by the browser
  const [module] = await Promise.race([Promise.all([import(url), loadMessages(part.base, contributions.value?.locales[part.plugin] ?? []), style]), late.then(() => [])]);
  return module;
}

function sheet(href) {
  if (document.querySelector(`link[href="${CSS.escape(href)}"]`)) return null;
  const link = Object.assign(document.createElement("link"), { rel: "stylesheet", href });
  const come = new Promise((resolve) => { link.onload = link.onerror = resolve; });
  document.head.append(link);
  return come;
}

// A module of any framework: `mount(element, {api, events, contribution, …})` may return what undoes it.
function Mounted({ mount, part, ...rest }) {
  const element = useRef(null);
  const [error, fail] = useState(null);
  useEffect(() => {
    let undo = null;
    try {
      undo = mount(element.current, { api, events, can, t, toast, contribution: part, language: language.value, ...rest });
    } catch (problem) {
      fail(problem);
    }
    return () => { try { if (typeof undo === "function") undo(); } catch (problem) { console.warn(`${part.plugin}: ${problem}`); } };
  }, []);
  return error ? html`<${Broken} part=${part} error=${error} />` : html`<div ref=${element}></div>`;
}

// A place of a page where other plugins put buttons: what they are about is `about`.
export function Slot({ name, about }) {
  const actions = (contributions.value?.actions ?? []).filter((each) => each.slot === name);
  return actions.map((each) => html`<${Contribution} key=${each.module} part=${each} what="Action" about=${about} />`);
}
