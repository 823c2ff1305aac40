// A table that is a list of cards on a phone. Columns: {key, title, kind, render(row), sort}.
import { useState } from "preact/hooks";
import { html } from "./html.js";
import { Icon } from "./icons.js";
import { t } from "./messages.js";
import { bytes, member, number } from "./format.js";
import { Empty, State, Time } from "./states.js";

export function Table({ caption, columns, rows, keyOf = (row) => row.id, actions, empty, sortable = true }) {
  const [sort, set] = useState(null);
  if (!rows.length) return html`<${Empty} title=${empty || t("table-empty")} />`;
  const sorted = sort ? [...rows].sort((a, b) => sort.way * compare(member(a, sort.key), member(b, sort.key))) : rows;
  const turn = (key) => set((old) => (old?.key !== key ? { key, way: 1 } : old.way === 1 ? { key, way: -1 } : null));
  return html`<div class="table-box" role="region" aria-label=${caption} tabindex="0"><table>
    <caption class="visually-hidden">${caption}</caption>
    <thead><tr>${columns.map((column) => html`<th key=${column.key} scope="col" class=${`kind-${column.kind ?? "text"}`}
        aria-sort=${sort?.key === column.key ? (sort.way === 1 ? "ascending" : "descending") : undefined}>
      ${sortable && column.sort !== false && rows.length > 1
        ? html`<button type="button" class="sort" onClick=${() => turn(column.key)}>${column.title}${sort?.key === column.key && html`<span aria-hidden="true">${sort.way === 1 ? " ↑" : " ↓"}</span>`}</button>`
        : column.title}
    </th>`)}${actions && html`<th scope="col" class="row-actions"><span class="visually-hidden">${t("actions")}</span></th>`}</tr></thead>
    <tbody>${sorted.map((row, place) => html`<tr key=${keyOf(row) ?? place}>
      ${columns.map((column, at) => html`<${at ? "td" : "th"} key=${column.key} scope=${at ? undefined : "row"} class=${`kind-${column.kind ?? "text"}`} data-title=${column.title}>${cell(column, row)}</>`)}
      ${actions && html`<td class="row-actions">${actions(row)}</td>`}
    </tr>`)}</tbody>
  </table></div>`;
}

function cell(column, row) {
  if (column.render) return column.render(row);
  const value = member(row, column.key);
  if (value === null || value === undefined || value === "") return html`<span class="muted">–</span>`;
  switch (column.kind) {
    case "time": return html`<${Time} value=${value} />`;
    case "state": return html`<${State} value=${value} />`;
    case "bytes": return bytes(value);
    case "number": return number(value, 2);
    case "boolean": return value ? html`<${Icon} name="check" size=${16} /><span class="visually-hidden">${t("yes")}</span>` : html`<span class="muted">${t("no")}</span>`;
    case "list": return html`<span class="tags">${(Array.isArray(value) ? value : [value]).map((each) => html`<span class="tag" key=${String(each)}>${String(each)}</span>`)}</span>`;
    case "code": return html`<code>${String(value)}</code>`;
    default: return typeof value === "object" ? html`<code>${JSON.stringify(value)}</code>` : /^[a-z]+(_[a-z]+)+$/.test(value) ? value.replaceAll("_", " ") : String(value);
  }
}

function compare(a, b) {
  if (a === b) return 0;
  if (a === null || a === undefined) return 1;
  if (b === null || b === undefined) return -1;
  return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true });
}
