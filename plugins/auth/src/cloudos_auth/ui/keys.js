// API keys: programs that act in one's name, as far as their scopes go.
import { api, attempt, can, confirm, Dialog, html, Icon, PageHead, permissions, Resource, SchemaForm, showOnce, t, Table, useResource } from "cloudos";
import { useState } from "preact/hooks";

export function Page() {
  const keys = useResource("/api/keys", { events: ["api_key."] });
  const [making, make] = useState(false);
  const revoke = async (key) => {
    if (!(await confirm({ title: t("keys-revoke-of", { name: key.name }), text: t("keys-revoke-text"), action: t("keys-revoke") }))) return;
    await attempt(() => api(`/api/keys/${key.id}`, { method: "DELETE" }), t("keys-revoked", { name: key.name }));
    keys.reload();
  };
  const maker = can("keys:write");
  return html`<${PageHead} title=${t("page-keys")} lead=${t("keys-lead")}>${maker && html`<button type="button" class="button primary" onClick=${() => make(true)}><${Icon} name="plus" size=${16} />${t("keys-make")}</button>`}</${PageHead}>
    <div class="card flush"><${Resource} of=${keys}>${(found) => html`<${Table} caption=${t("page-keys")} rows=${found} empty=${t("keys-none")} columns=${[
      { key: "name", title: t("keys-name") },
      { key: "scopes", title: t("keys-scopes"), kind: "list", sort: false },
      { key: "last_used_at", title: t("keys-used"), kind: "time" },
      { key: "expires_at", title: t("keys-until"), kind: "time" },
    ]} actions=${(row) => html`<button type="button" class="button small danger-text" onClick=${() => revoke(row)}>${t("keys-revoke")}</button>`} />`}</${Resource}></div>
    ${making && html`<${KeyForm} close=${() => make(false)} done=${keys.reload} />`}`;
}

function KeyForm({ close, done }) {
  const schema = {
    type: "object",
    required: ["name", "scopes"],
    properties: {
      name: { type: "string", title: t("keys-name"), maxLength: 100, description: t("keys-name-hint") },
      scopes: { type: "array", title: t("keys-scopes"), items: { enum: [...permissions.value].sort() } },
      days: { type: "integer", title: t("keys-days"), minimum: 1, maximum: 3650, description: t("keys-days-hint") },
    },
  };
  const send = async ({ days, ...body }) => {
    const key = await api("/api/keys", { method: "POST", body: { ...body, expires_at: days ? new Date(Date.now() + days * 86_400_000).toISOString() : null } });
    close();
    done();
    await showOnce({ title: t("keys-made", { name: key.name }), text: t("shown-once-text"), value: key.key });
  };
  return html`<${Dialog} title=${t("keys-make")} close=${close}><${SchemaForm} schema=${schema} send=${send} submit=${t("keys-make")} cancel=${close} /></${Dialog}>`;
}
