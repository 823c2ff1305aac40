// The doors: the first account of a new node, and the sign-in with its second factor.
import { useEffect, useRef, useState } from "preact/hooks";
import { api } from "../kit/api.js";
import { html } from "../kit/html.js";
import { language, languages, choose, t } from "../kit/messages.js";
import { begin } from "../kit/session.js";
import { Icon } from "../kit/icons.js";
import { Logo } from "./logo.js";

export function Door({ title, lead, children }) {
  const heading = useRef(null);
  useEffect(() => { document.title = `${title} · Cloud OS`; }, [title]);
  return html`<main class="door"><div class="door-card">
    <${Logo} /><h1 ref=${heading} tabindex="-1">${title}</h1>${lead && html`<p class="lead">${lead}</p>`}${children}
  </div><${LanguageChoice} /></main>`;
}

export function LanguageChoice() {
  return html`<label class="language"><${Icon} name="globe" size=${16} /><span class="visually-hidden">${t("language")}</span>
    <select value=${language.value} onChange=${(e) => choose(e.currentTarget.value)}>${Object.entries(languages).map(([tag, name]) => html`<option key=${tag} value=${tag} lang=${tag}>${name}</option>`)}</select></label>`;
}

// What a refused sign-in says; how long a lock-out lasts is counted down.
function Refusal({ error }) {
  const [left, count] = useState(0);
  useEffect(() => {
    count(error?.retryAfter ?? 0);
    if (!error?.retryAfter) return undefined;
    const timer = setInterval(() => count((n) => Math.max(0, n - 1)), 1000);
    return () => clearInterval(timer);
  }, [error]);
  if (!error) return html`<div role="alert"></div>`;
  const text = error.status === 429 ? t("sign-in-locked") : error.code === "invalid_credentials" ? t("sign-in-wrong")
    : error.code === "invalid_code" || error.code === "wrong_code" ? t("sign-in-wrong-code") : error.message;
  return html`<div class="form-note" role="alert"><p>${text}</p>${error.status === 429 && html`<p aria-live="off">${left ? t("sign-in-locked-for", { seconds: left }) : t("sign-in-locked-over")}</p>`}</div>`;
}

export function SignIn({ done, over = false, name = "" }) {
  const [waiting, wait] = useState(null); // the half-finished sign-in that a code completes
  const [error, fail] = useState(null);
  const [busy, work] = useState(false);
  const [backup, turn] = useState(false);
  const form = useRef(null);
  useEffect(() => { form.current?.querySelector("input:not([type=hidden])")?.focus(); }, [waiting, backup]);
  const submit = async (event) => {
    event.preventDefault();
    const given = new FormData(form.current);
    work(true);
    fail(null);
    try {
      const answer = waiting
        ? await api("/api/auth/totp/verify", { method: "POST", body: { temp_token: waiting, code: given.get("code").trim(), cookie: true } })
        : await api("/api/auth/login", { method: "POST", body: { username: given.get("username"), password: given.get("password"), cookie: true } });
      if (answer.totp_required) return wait(answer.temp_token);
      begin(answer.csrf_token);
      await done();
    } catch (problem) {
      if (waiting && ["token_expired", "token_invalid"].includes(problem.code)) wait(null);
      fail(problem);
      form.current?.querySelector(waiting ? "[name=code]" : "[name=password]")?.select();
    } finally {
      work(false);
    }
  };
  const fields = waiting
    ? html`<label class="field"><span>${backup ? t("sign-in-backup") : t("sign-in-code")}</span>
        <input name="code" required autocomplete="one-time-code" inputmode=${backup ? "text" : "numeric"} spellcheck="false" /></label>`
    : html`<label class="field"><span>${t("user-name")}</span><input name="username" required autocomplete="username" autocapitalize="none" spellcheck="false" defaultValue=${name} readonly=${Boolean(name)} /></label>
      <label class="field"><span>${t("password")}</span><input name="password" type="password" required autocomplete="current-password" /></label>`;
  const content = html`<form ref=${form} class="stack" onSubmit=${submit} method="post">
    ${fields}<${Refusal} error=${error} />
    <button class="button primary wide" aria-busy=${busy} disabled=${busy}>${t("sign-in")}</button>
    ${waiting && html`<div class="door-links"><button type="button" class="button quiet" onClick=${() => turn(!backup)}>${backup ? t("sign-in-use-code") : t("sign-in-use-backup")}</button>
      <button type="button" class="button quiet" onClick=${() => { wait(null); fail(null); }}>${t("sign-in-other")}</button></div>`}
  </form>`;
  if (over) return content;
  return html`<${Door} title=${waiting ? t("sign-in-second") : t("sign-in")} lead=${waiting ? t("sign-in-second-lead") : null}>${content}</${Door}>`;
}

export function FirstRun({ state, done }) {
  const [error, fail] = useState(null);
  const [faults, tell] = useState({});
  const [busy, work] = useState(false);
  const form = useRef(null);
  useEffect(() => form.current?.querySelector("input")?.focus(), []);
  const submit = async (event) => {
    event.preventDefault();
    const given = Object.fromEntries(new FormData(form.current));
    const wrong = {};
    if (!given.username.trim()) wrong.username = t("form-required");
    else if (!/^[A-Za-z0-9._@-]+$/.test(given.username)) wrong.username = t("first-run-name-form");
    if (given.password.length < 10) wrong.password = t("form-short", { least: 10 });
    if (given.again !== given.password) wrong.again = t("passwords-differ");
    if (state.code_required && !given.code.trim()) wrong.code = t("form-required");
    tell(wrong);
    fail(null);
    if (Object.keys(wrong).length) return form.current.elements[["code", "username", "password", "again"].find((each) => wrong[each])].focus();
    work(true);
    try {
      const { username, password } = given;
      const body = state.code_required ? { username, password, code: given.code.trim() } : { username, password };
      await api("/api/auth/setup", { method: "POST", body });
      const answer = await api("/api/auth/login", { method: "POST", body: { username, password, cookie: true } });
      begin(answer.csrf_token);
      await done();
    } catch (problem) {
      if (problem.code === "already_set_up") return location.reload();
      if (problem.code === "setup_code_wrong") { tell({ code: t("first-run-code-wrong") }); form.current.elements.code.select(); }
      else if (problem.fields?.length) tell(Object.fromEntries(problem.fields.map(({ path, message }) => [path, message])));
      else fail(problem);
    } finally {
      work(false);
    }
  };
  const field = (name, label, attributes, hint) => html`<div class="field"><label for=${`first-${name}`}>${label}</label>
    <input id=${`first-${name}`} name=${name} aria-describedby=${`first-${name}-about`} aria-invalid=${faults[name] ? "true" : undefined} aria-required="true" ...${attributes} />
    <small id=${`first-${name}-about`} class=${faults[name] ? "fault" : ""}>${faults[name] ?? hint}</small></div>`;
  return html`<${Door} title=${t("first-run")} lead=${t("first-run-lead")}>
    <form ref=${form} class="stack" onSubmit=${submit} novalidate method="post">
      ${state.code_required && field("code", t("first-run-code"), { autocomplete: "off", spellcheck: false, autocapitalize: "characters" }, t("first-run-code-hint"))}
      ${field("username", t("user-name"), { autocomplete: "username", autocapitalize: "none", spellcheck: false }, t("first-run-name-hint"))}
      ${field("password", t("password"), { type: "password", autocomplete: "new-password" }, t("password-hint"))}
      ${field("again", t("password-again"), { type: "password", autocomplete: "new-password" }, "")}
      ${error && html`<p class="form-note" role="alert">${error.message}</p>`}
      <button class="button primary wide" aria-busy=${busy} disabled=${busy}>${t("first-run-go")}</button>
    </form></${Door}>`;
}
