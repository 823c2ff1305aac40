// The users of this node, as an admin manages them.
import { api, attempt, can, confirm, Dialog, html, Icon, PageHead, Resource, SchemaForm, t, Table, toast, useResource, user } from "cloudos";
import { useState } from "preact/hooks";

const ROLES = ["viewer", "operator", "admin"];

export function Page() {
  const people = useResource("/api/users", { events: ["user."] });
  const [form, open] = useState(null);
  const writer = can("users:write");
  const change = (one, body, done) => attempt(() => api(`/api/users/${one.id}`, { method: "PUT", body }), done).then(people.reload);
  const remove = async (one) => {
    if (!(await confirm({ title: t("people-delete-of", { name: one.username }), text: t("people-delete-text"), action: t("people-delete"), typed: one.username }))) return;
    await attempt(() => api(`/api/users/${one.id}`, { method: "DELETE" }), t("people-deleted", { name: one.username }));
    people.reload();
  };
  return html`<${PageHead} title=${t("page-people")} lead=${t("people-lead")}>${writer && html`<button type="button" class="button primary" onClick=${() => open({})}><${Icon} name="plus" size=${16} />${t("people-add")}</button>`}</${PageHead}>
    <div class="card flush"><${Resource} of=${people}>${(found) => html`<${Table} caption=${t("page-people")} rows=${found} columns=${[
      { key: "username", title: t("user-name"), render: (row) => html`${row.username} ${row.id === user.value?.id && html`<span class="tag">${t("people-you")}</span>`}` },
      { key: "role", title: t("people-role"), render: (row) => t(`role-${row.role}`) },
      { key: "disabled", title: t("people-state"), render: (row) => (row.disabled ? html`<span class="state warn">${t("people-disabled")}</span>` : html`<span class="state good">${t("people-active")}</span>`) },
      { key: "totp_enabled", title: t("totp"), kind: "boolean" },
      { key: "created_at", title: t("people-since"), kind: "time" },
    ]} actions=${writer && ((row) => html`<button type="button" class="button small" onClick=${() => open({ one: row })}>${t("change")}</button>
      ${row.id !== user.value?.id && html`<button type="button" class="button small" onClick=${() => change(row, { disabled: !row.disabled }, t(row.disabled ? "people-let-in" : "people-kept-out", { name: row.username }))}>${row.disabled ? t("people-enable") : t("people-disable")}</button>
      <button type="button" class="button small danger-text" onClick=${() => remove(row)}>${t("people-delete")}</button>`}`)} />`}</${Resource}></div>
    ${form && html`<${PersonForm} one=${form.one} close=${() => open(null)} done=${people.reload} />`}`;
}

function PersonForm({ one, close, done }) {
  const role = { type: "string", enum: ROLES, title: t("people-role"), description: t("people-roles"), default: "viewer" };
  const password = { type: "string", title: one ? t("people-new-password") : t("password"), format: "password", minLength: 10, description: one ? t("people-password-stays") : t("password-hint") };
  const schema = one
    ? { type: "object", properties: { role, password, ...(one.totp_enabled ? { reset_totp: { type: "boolean", title: t("people-reset-totp") } } : {}) } }
    : { type: "object", required: ["username", "password", "role"], properties: { username: { type: "string", title: t("user-name"), maxLength: 64, pattern: "^[A-Za-z0-9._@-]+$" }, password, role } };
  const send = async (body) => {
    await api(one ? `/api/users/${one.id}` : "/api/users", { method: one ? "PUT" : "POST", body });
    close();
    toast(one ? t("saved") : t("people-added", { name: body.username }));
    done();
  };
  return html`<${Dialog} title=${one ? t("people-change-of", { name: one.username }) : t("people-add")} close=${close} size="small"><${SchemaForm} schema=${schema} value=${one ? { role: one.role } : { role: "viewer" }} send=${send} onlyChanged=${Boolean(one)} cancel=${close} /></${Dialog}>`;
}
