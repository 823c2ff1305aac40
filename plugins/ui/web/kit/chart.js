// Time series by uPlot, loaded with the first of them; a table says the same to those who do not see it.
import { useEffect, useRef, useState } from "preact/hooks";
import { html } from "./html.js";
import { t } from "./messages.js";
import { tick, time } from "./format.js";

const COLOURS = ["--cloudos-series-1", "--cloudos-series-2", "--cloudos-series-3", "--cloudos-series-4"];

// `times` are seconds since 1970 or ISO texts, `series` [{title, values}], `show(value)` writes one.
export function Chart({ title, times, series, show = String, height = 200, most }) {
  const box = useRef(null);
  const [table, turn] = useState(false);
  const latest = series.map((each) => `${each.title}: ${show(lastOf(each.values))}`).join(", ");
  useEffect(() => {
    let plot = null;
    let gone = false;
    let observer = null;
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    const draw = async () => {
      const { default: UPlot } = await import("uplot");
      if (gone || !box.current) return;
      plot?.destroy();
      const colour = (name) => resolved(box.current, name);
      const axis = { stroke: colour("--cloudos-muted"), grid: { stroke: colour("--cloudos-line"), width: 1 }, ticks: { show: false }, font: "12px system-ui" };
      plot = new UPlot({
        width: box.current.clientWidth || 300,
        height,
        legend: { show: false },
        cursor: { y: false },
        scales: { y: { range: (_, low, high) => [Math.min(0, low ?? 0), most ?? Math.max(high ?? 1, 1e-9) * 1.1] } },
        axes: [{ ...axis, size: 28, space: 84, values: (_, ticks, __, ___, step) => ticks.map((at) => tick(at, step)) }, { ...axis, size: 64, values: (_, ticks) => ticks.map(show) }],
        series: [{}, ...series.map((each, place) => ({ label: each.title, stroke: colour(COLOURS[place % COLOURS.length]), width: 1.5, fill: place ? undefined : colour("--cloudos-series-fill"), points: { show: false } }))],
      }, [times.map((at) => (typeof at === "number" ? at : Date.parse(at) / 1000)), ...series.map((each) => each.values)], box.current);
    };
    draw();
    observer = new ResizeObserver(() => !gone && plot && plot.setSize({ width: box.current.clientWidth, height }));
    observer.observe(box.current);
    scheme.addEventListener("change", draw);
    const themed = new MutationObserver(draw);
    themed.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    return () => { gone = true; observer.disconnect(); themed.disconnect(); scheme.removeEventListener("change", draw); plot?.destroy(); };
  }, [times, series]);
  return html`<figure class="chart">
    <figcaption><span>${title}</span>
      <span class="legend">${series.map((each, place) => html`<span key=${each.title} class=${`series-${place % 4 + 1}`}>${each.title} <b>${show(lastOf(each.values))}</b></span>`)}</span>
      <button type="button" class="button small quiet" aria-pressed=${table} onClick=${() => turn(!table)}>${t("chart-table")}</button></figcaption>
    <div ref=${box} role="img" aria-label=${`${title}. ${latest}`} hidden=${table}></div>
    ${table && html`<div class="table-box short" tabindex="0" role="region" aria-label=${title}><table><thead><tr><th scope="col">${t("time")}</th>${series.map((each) => html`<th key=${each.title} scope="col" class="kind-number">${each.title}</th>`)}</tr></thead>
      <tbody>${times.map((at, row) => html`<tr key=${row}><th scope="row">${time(typeof at === "number" ? at * 1000 : at)}</th>${series.map((each) => html`<td key=${each.title} class="kind-number">${show(each.values[row])}</td>`)}</tr>`).reverse()}</tbody></table></div>`}
  </figure>`;
}

// A canvas knows no light-dark(): what the property comes to is read from an element.
function resolved(element, name) {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  element.append(probe);
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return colour;
}

function lastOf(values) {
  for (let place = values.length - 1; place >= 0; place -= 1) if (values[place] !== null && values[place] !== undefined) return values[place];
  return null;
}

// A share of 100 as a bar.
export function Meter({ value, label, text }) {
  const tone = value >= 95 ? "bad" : value >= 85 ? "warn" : "good";
  return html`<div class=${`meter ${tone}`} role="meter" aria-valuemin="0" aria-valuemax="100" aria-valuenow=${Math.round(value ?? 0)} aria-valuetext=${text} aria-label=${label}><span style=${{ inlineSize: `${Math.min(100, value ?? 0)}%` }}></span></div>`;
}

// A small line without axes; decoration beside the number that it ends with.
export function Sparkline({ values, most }) {
  const known = values.filter((value) => value !== null && value !== undefined);
  if (known.length < 2) return html`<svg class="sparkline" viewBox="0 0 100 30" aria-hidden="true"></svg>`;
  const top = most ?? (Math.max(...known) || 1);
  const points = known.map((value, place) => `${((place / (known.length - 1)) * 100).toFixed(1)},${(29 - (Math.min(value, top) / top) * 27).toFixed(1)}`);
  return html`<svg class="sparkline" viewBox="0 0 100 30" preserveAspectRatio="none" aria-hidden="true">
    <polygon points=${`0,30 ${points.join(" ")} 100,30`} /><polyline points=${points.join(" ")} /></svg>`;
}
