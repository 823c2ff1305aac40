// The audit log: filters, pages, the proof that nothing was changed, the export.
import { api, attempt, html, Icon, PageHead, Resource, t, Table, Time, toast, useResource } from "cloudos";
import { useEffect, useMemo, useState } from "preact/hooks";

const COUNT = 50;

export function Page({ query }) {
  const [filter, set] = useState({ action: query.get("action") ?? "", actor: query.get("actor") ?? "", resource: query.get("resource") ?? "", since: "" });
  const [typed, type] = useState(filter);
  const [older, add] = useState([]);
  const address = useMemo(() => {
    const given = Object.entries({ ...filter, since: filter.since && `${filter.since}T00:00:00Z` }).filter(([, value]) => value);
    return `/api/audit/logs?${new URLSearchParams([["limit", COUNT], ...given])}`;
  }, [filter]);
  const entries = useResource(address);
  useEffect(() => add([]), [entries.data]);
  const rows = [...(entries.data ?? []), ...older];
  const more = async () => {
    const found = await attempt(() => api(`${address}&before=${rows.at(-1).id}`));
    if (found) add([...older, ...found]);
  };
  const verify = async () => {
    const found = await attempt(() => api("/api/audit/verify"));
    if (found) toast(found.valid ? t("audit-valid", { count: found.entries }) : found.problem?.sentence ?? t("audit-invalid"), { kind: found.valid ? "good" : "bad" });
  };
  const save = async () => {
    const answer = await attempt(() => api(address.replace("/logs?", "/export?").replace(/limit=\d+&?/, ""), { raw: true }));
    if (!answer) return;
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(await answer.blob()), download: "audit.jsonl" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
  const field = (name, kind = "text") => html`<label class="field"><span>${t(`audit-${name}`)}</span><input type=${kind} value=${typed[name]} onInput=${(e) => type({ ...typed, [name]: e.currentTarget.value })} /></label>`;
  return html`<${PageHead} title=${t("page-audit")} lead=${t("audit-lead")}><button type="button" class="button" onClick=${verify}><${Icon} name="shield" size=${16} />${t("audit-verify")}</button><button type="button" class="button" onClick=${save}>${t("audit-export")}</button></${PageHead}>
    <form class="card audit-filter section" onSubmit=${(e) => { e.preventDefault(); set(typed); }}><div class="columns small-columns">${field("action")}${field("actor")}${field("resource")}${field("since", "date")}</div><div class="form-actions"><button class="button">${t("audit-filter")}</button></div></form>
    <div class="card flush"><${Resource} of=${entries} lines=${8}>${() => html`<${Table} caption=${t("page-audit")} rows=${rows} empty=${t("audit-none")} sortable=${false} columns=${[
      { key: "timestamp", title: t("time"), render: (row) => html`<${Time} value=${row.timestamp} relative=${false} />` },
      { key: "actor.name", title: t("audit-actor") },
      { key: "details", title: t("audit-what"), render: (row) => row.details || row.action },
      { key: "action", title: t("audit-action"), kind: "code" },
      { key: "ip_address", title: t("audit-address"), kind: "code" },
    ]} />${rows.length >= COUNT && rows.length % COUNT === 0 && html`<div class="more"><button type="button" class="button" onClick=${more}>${t("show-more")}</button></div>`}`}</${Resource}></div>`;
}
