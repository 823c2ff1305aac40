// One's own account: password, second factor, sessions.
import { api, attempt, confirm, Copyable, html, Icon, PageHead, Resource, SchemaForm, t, Table, toast, useResource, user } from "cloudos";
import { useEffect, useRef, useState } from "preact/hooks";

export function Page() {
  const me = useResource("/api/auth/me", { events: ["user."] });
  return html`<${PageHead} title=${t("page-account")} lead=${`${user.value?.username} · ${t(`role-${user.value?.role}`)}`} />
    <div class="columns"><${Password} /><${Resource} of=${me}>${(found) => html`<${SecondFactor} on=${found.totp_enabled} reload=${me.reload} />`}</${Resource}></div>
    <${Sessions} />`;
}

function Password() {
  const [done, renew] = useState(0);
  const schema = {
    type: "object",
    required: ["current_password", "new_password", "again"],
    properties: {
      current_password: { type: "string", title: t("account-current"), format: "password" },
      new_password: { type: "string", title: t("account-new"), format: "password", minLength: 10, description: t("password-hint") },
      again: { type: "string", title: t("account-again"), format: "password" },
    },
  };
  const send = async ({ again, ...body }) => {
    if (again !== body.new_password) throw Object.assign(new Error(), { fields: [{ path: "again", message: t("passwords-differ") }] });
    try {
      await api("/api/auth/change-password", { method: "POST", body });
    } catch (error) {
      if (error.code === "invalid_credentials") error.fields = [{ path: "current_password", message: error.message }];
      throw error;
    }
    toast(t("account-changed"));
    renew(done + 1);
  };
  return html`<section class="card"><h2>${t("password")}</h2><${SchemaForm} key=${done} schema=${schema} send=${send} submit=${t("account-change")} /></section>`;
}

function SecondFactor({ on, reload }) {
  const [setup, begin] = useState(null);
  const [asking, ask] = useState(null); // "enable" or "disable": the password is asked for
  const start = async (password) => {
    try {
      begin(await api("/api/auth/totp/enable", { method: "POST", body: password ? { password } : {} }));
      ask(null);
    } catch (error) {
      if (error.code === "password_required") return ask("enable");
      if (password) throw error;
      toast(error.message, { kind: "bad" });
    }
    return undefined;
  };
  const off = async ({ password, code }) => {
    await api("/api/auth/totp/disable", { method: "POST", body: { password, code } });
    ask(null);
    toast(t("totp-is-off"));
    reload();
  };
  const secret = { type: "string", title: t("password"), format: "password" };
  const code = { type: "string", title: t("sign-in-code") };
  return html`<section class="card"><h2>${t("totp")}</h2>
    ${setup ? html`<${Confirm} setup=${setup} done=${() => { begin(null); reload(); }} cancel=${() => begin(null)} />`
      : asking === "enable" ? html`<${SchemaForm} schema=${{ type: "object", required: ["password"], properties: { password: secret } }} send=${({ password }) => start(password)} submit=${t("totp-go-on")} cancel=${() => ask(null)} />`
      : asking === "disable" ? html`<${SchemaForm} schema=${{ type: "object", required: ["password", "code"], properties: { password: secret, code } }} send=${off} submit=${t("totp-off")} cancel=${() => ask(null)} />`
      : on ? html`<p class="row-line"><${Icon} name="shield" />${t("totp-is-on")}</p><div class="form-actions"><button type="button" class="button" onClick=${() => ask("disable")}>${t("totp-off")}</button></div>`
      : html`<p>${t("totp-why")}</p><div class="form-actions"><button type="button" class="button primary" onClick=${() => start()}>${t("totp-on")}</button></div>`}</section>`;
}

function Confirm({ setup, done, cancel }) {
  const box = useRef(null);
  useEffect(() => box.current?.focus(), []);
  const send = async ({ code }) => {
    await api("/api/auth/totp/verify", { method: "POST", body: { code: code.trim() } });
    toast(t("totp-is-on"));
    done();
  };
  const save = () => {
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(new Blob([setup.backup_codes.join("\n")], { type: "text/plain" })), download: "cloudos-backup-codes.txt" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
  return html`<div class="stack" tabindex="-1" ref=${box}><p>${t("totp-scan")}</p>
    <img class="qr" src=${`data:image/png;base64,${setup.qr_png_base64}`} alt=${t("totp-qr")} width="196" height="196" />
    <div class="field"><span>${t("totp-secret")}</span><${Copyable} value=${setup.secret} label=${t("totp-secret")} /></div>
    <div><h3>${t("totp-backup")}</h3><p class="muted">${t("totp-backup-text")}</p><ul class="codes">${setup.backup_codes.map((code) => html`<li key=${code}><code>${code}</code></li>`)}</ul><button type="button" class="button small" onClick=${save}>${t("totp-backup-save")}</button></div>
    <${SchemaForm} schema=${{ type: "object", required: ["code"], properties: { code: { type: "string", title: t("sign-in-code"), description: t("totp-first-code") } } }} send=${send} submit=${t("totp-confirm")} cancel=${cancel} /></div>`;
}

function Sessions() {
  const sessions = useResource("/api/auth/sessions", { events: ["session.", "user.login"] });
  const end = async (session) => {
    if (!(await confirm({ title: t("sessions-end-title"), text: t("sessions-end-text", { address: session.address ?? "" }), action: t("sessions-end") }))) return;
    await attempt(() => api(`/api/auth/sessions/${session.id}`, { method: "DELETE" }), t("sessions-ended"));
    sessions.reload();
  };
  return html`<section class="section sessions"><div class="section-head"><h2>${t("sessions")}</h2></div><div class="card flush"><${Resource} of=${sessions}>${(found) => html`<${Table} caption=${t("sessions")} rows=${found} columns=${[
    { key: "address", title: t("sessions-from"), render: (row) => html`${row.address ?? "–"} ${row.current && html`<span class="tag">${t("sessions-this")}</span>`}` },
    { key: "created_at", title: t("sessions-since"), kind: "time" },
    { key: "last_used_at", title: t("sessions-used"), kind: "time" },
    { key: "expires_at", title: t("sessions-until"), kind: "time" },
  ]} actions=${(row) => !row.current && html`<button type="button" class="button small danger-text" onClick=${() => end(row)}>${t("sessions-end")}</button>`} />`}</${Resource}></div></section>`;
}
