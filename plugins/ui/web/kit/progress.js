// Long work as it goes on: from its events, from the API when the page comes later or the node was away.
import { useEffect, useState } from "preact/hooks";
import { api } from "./api.js";
import { html } from "./html.js";
import { t } from "./messages.js";
import { events, resumed } from "./session.js";
import { bytes } from "./format.js";

const OVER = ["succeeded", "failed", "cancelled"];

// Follow an operation: {state, progress, message, layers, error}. `done(operation)` is called once, at its end.
export function useOperation(id, done) {
  const [operation, set] = useState(null);
  useEffect(() => {
    if (!id) return undefined;
    let over = false;
    let live = true;
    const finish = (found) => { if (live && !over && OVER.includes(found.state)) { over = true; done?.(found); } };
    const load = async () => {
      try {
        const found = await api(`/api/operations/${id}`);
        if (live) set((old) => ({ ...old, ...found }));
        finish(found);
      } catch {
        // it comes with the next event
      }
    };
    load();
    const ends = [
      events("operation.progressed", ({ data }) => {
        if (data?.operation_id !== id || over) return;
        set((old) => ({ ...old, state: "running", progress: data.progress, message: data.message, layers: data.detail?.layers ?? old?.layers }));
      }),
      events("operation.finished", ({ data, resource }) => { if (data?.operation_id === id || data?.id === id || (resource && resource === operation?.resource)) load(); }),
      resumed(load),
    ];
    return () => { live = false; ends.forEach((end) => end()); };
  }, [id]);
  return operation;
}

export function Progress({ operation, cancel }) {
  const share = operation?.progress ?? 0;
  const layers = Object.entries(operation?.layers ?? {});
  return html`<div class="progress">
    <div class="progress-line"><span>${operation?.message ?? t("operation-begins")}</span><span class="muted">${Math.round(share * 100)} %</span></div>
    <progress max="1" value=${share} aria-label=${operation?.title ?? t("operation")}></progress>
    ${layers.length > 0 && html`<ul class="layers">${layers.map(([id, layer]) => html`<li key=${id}><code>${id.slice(0, 12)}</code><progress max=${layer.total || 1} value=${layer.done} aria-label=${id}></progress><span class="muted">${layer.total > 1 ? `${bytes(layer.done)} / ${bytes(layer.total)}` : layer.status}</span></li>`)}</ul>`}
    ${cancel && html`<button type="button" class="button small" onClick=${cancel}>${t("cancel")}</button>`}
  </div>`;
}
