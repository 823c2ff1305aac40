// Long work: what goes on now, and what came of what went on before.
import { api, attempt, html, PageHead, Progress, Resource, Table, t, useOperation, useResource } from "cloudos";

export function Page() {
  const operations = useResource("/api/operations?limit=100", { events: ["operation.finished", "app."] });
  return html`<${PageHead} title=${t("page-operations")} lead=${t("operations-lead")} />
    <${Resource} of=${operations}>${(found) => {
      const open = found.filter((each) => ["queued", "running"].includes(each.state));
      return html`${open.length > 0 && html`<section class="section"><h2>${t("operations-open")}</h2><div class="columns">${open.map((each) => html`<${Open} key=${each.id} operation=${each} done=${operations.reload} />`)}</div></section>`}
        <section class="card flush"><${Table} caption=${t("page-operations")} rows=${found.filter((each) => !open.includes(each))} empty=${t("operations-none")} columns=${[
          { key: "title", title: t("operations-title") },
          { key: "state", title: t("operations-state"), kind: "state" },
          { key: "message", title: t("operations-message"), render: (row) => row.error?.message ?? row.message ?? "" },
          { key: "finished_at", title: t("operations-finished"), kind: "time" },
        ]} /></section>`;
    }}</${Resource}>`;
}

function Open({ operation, done }) {
  const now = useOperation(operation.id, done) ?? operation;
  return html`<div class="card"><h3>${operation.title}</h3><${Progress} operation=${now} cancel=${() => attempt(() => api(`/api/operations/${operation.id}/cancel`, { method: "POST" }))} /></div>`;
}
