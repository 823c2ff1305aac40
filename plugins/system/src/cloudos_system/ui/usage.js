// What the machine uses, now and before: processor, memory, disks, network by interface, apps.
import { bytes, Chart, duration, Failure, html, Meter, number, PageHead, percent, Resource, State, t, Table, useResource } from "cloudos";
import { useMemo, useState } from "preact/hooks";
import { isReal } from "./live.js";

const RANGES = ["1h", "6h", "24h", "7d", "30d", "1y"];
const NETWORK = { "1h": "1h", "6h": "6h", "24h": "24h" };

export function Page() {
  const [range, choose] = useState("1h");
  const info = useResource("/api/system/info");
  const every = { "1h": 60, "6h": 120 }[range] ?? 600;
  const history = useResource(`/api/system/metrics?range=${range}&metric=system.cpu.usage_percent&metric=system.memory.usage_percent&metric=system.load.1m&metric=system.disk.*`, { refresh: every });
  const now = info.data;
  return html`<${PageHead} title=${t("page-usage")} lead=${now && `${now.hostname} · ${now.os} · ${t("system-up", { time: duration(now.uptime_seconds) })}`}>
      <fieldset class="segments"><legend class="visually-hidden">${t("system-range")}</legend>${RANGES.map((each) => html`<label key=${each}><input type="radio" name="range" checked=${range === each} onChange=${() => choose(each)} /><span>${t(`range-${each}`)}</span></label>`)}</fieldset></${PageHead}>
    <${Resource} of=${history}>${(found) => html`<${Charts} history=${found} />`}</${Resource}>
    <${Network} range=${range} />
    <${Apps} /><${Disks} />`;
}

function series(history, metric, title) {
  return history.series.filter((each) => each.metric === metric).map((each) => ({ title: title(each.labels), values: each.mean }));
}

function Charts({ history }) {
  const times = history.timestamps;
  const cpu = useMemo(() => series(history, "system.cpu.usage_percent", () => t("widget-cpu")), [history]);
  const memory = useMemo(() => series(history, "system.memory.usage_percent", () => t("widget-ram")), [history]);
  const load = useMemo(() => series(history, "system.load.1m", () => t("system-load")), [history]);
  const io = useMemo(() => [...series(history, "system.disk.read_bytes_per_sec", ({ disk }) => `${disk} ${t("system-read")}`), ...series(history, "system.disk.write_bytes_per_sec", ({ disk }) => `${disk} ${t("system-written")}`)].slice(0, 4), [history]);
  const shares = (value) => percent(value);
  return html`<div class="columns charts">
    ${cpu.length > 0 && html`<section class="card"><${Chart} title=${t("widget-cpu")} times=${times} series=${cpu} show=${shares} most=${100} /></section>`}
    ${memory.length > 0 && html`<section class="card"><${Chart} title=${t("widget-ram")} times=${times} series=${memory} show=${shares} most=${100} /></section>`}
    ${load.length > 0 && html`<section class="card"><${Chart} title=${t("system-load")} times=${times} series=${load} show=${(value) => number(value, 2)} /></section>`}
    ${io.length > 0 && html`<section class="card"><${Chart} title=${t("system-disk-io")} times=${times} series=${io} show=${(value) => (value === null ? "–" : `${bytes(value)}/s`)} /></section>`}</div>`;
}

function Network({ range }) {
  const interfaces = useResource("/api/system/network/interfaces", { refresh: 300 });
  const [wanted, choose] = useState(null);
  const names = useMemo(() => {
    const all = (interfaces.data ?? []).map((each) => each.name);
    return [...all.filter(isReal), ...all.filter((name) => !isReal(name))];
  }, [interfaces.data]);
  const name = wanted ?? names[0];
  const history = useResource(name ? `/api/network/history?interface=${encodeURIComponent(name)}&range=${NETWORK[range] ?? "24h"}` : null, { refresh: 120 });
  const [times, lines] = useMemo(() => {
    const points = history.data?.points ?? [];
    return [points.map((point) => point.ts), [{ title: t("system-received"), values: points.map((point) => point.rx_bytes_per_sec) }, { title: t("system-sent"), values: points.map((point) => point.tx_bytes_per_sec) }]];
  }, [history.data]);
  if (interfaces.error && !interfaces.data) return html`<${Failure} error=${interfaces.error} retry=${interfaces.reload} />`;
  if (!name) return null;
  const one = interfaces.data.find((each) => each.name === name);
  return html`<section class="section"><div class="section-head"><h2>${t("widget-network")}</h2><select class="auto" aria-label=${t("system-interface")} value=${name} onChange=${(e) => choose(e.currentTarget.value)}>${names.map((each) => html`<option key=${each}>${each}</option>`)}</select></div>
    <div class="card"><${Resource} of=${history}>${() => html`<${Chart} title=${name} times=${times} series=${lines} show=${(value) => (value === null || value === undefined ? "–" : `${bytes(value)}/s`)} />`}</${Resource}>
    <p class="muted">${one.addresses.map((each) => each.address).join(" · ")}${one.mac_address ? ` · ${one.mac_address}` : ""}</p></div></section>`;
}

function Apps() {
  const apps = useResource("/api/system/apps/metrics", { refresh: 60, events: ["app."] });
  if (!apps.data?.apps.length) return null;
  return html`<section class="section"><h2>${t("widget-apps")}</h2><div class="card flush"><${Table} caption=${t("widget-apps")} rows=${apps.data.apps} keyOf=${(row) => row.app_id} columns=${[
    { key: "name", title: t("system-app"), render: (row) => html`<a href=${`/apps/${row.app_id}`}>${row.name}</a>` },
    { key: "status", title: t("system-state"), kind: "state" },
    { key: "cpu_percent", title: t("widget-cpu"), kind: "number", render: (row) => percent(row.cpu_percent) },
    { key: "memory_usage_mb", title: t("widget-ram"), kind: "number", render: (row) => (row.memory_usage_mb === null ? "–" : `${number(row.memory_usage_mb)} MB`) },
    { key: "network_rx_bytes_per_sec", title: t("system-received"), kind: "number", render: (row) => (row.network_rx_bytes_per_sec === null ? "–" : `${bytes(row.network_rx_bytes_per_sec)}/s`) },
    { key: "network_tx_bytes_per_sec", title: t("system-sent"), kind: "number", render: (row) => (row.network_tx_bytes_per_sec === null ? "–" : `${bytes(row.network_tx_bytes_per_sec)}/s`) },
    { key: "restarts", title: t("system-restarts"), kind: "number" },
  ]} /></div></section>`;
}

function Disks() {
  const spaces = useResource("/api/system/disks", { refresh: 300 });
  const health = useResource("/api/system/disk/health");
  return html`<section class="section"><h2>${t("widget-storage")}</h2><div class="columns">
    <div class="card"><${Resource} of=${spaces}>${(found) => html`<div class="stack">${found.map((disk) => html`<div key=${disk.mount_point}><div class="row-line"><b>${disk.mount_point}</b><span class="muted">${t("system-free", { free: bytes(disk.free_bytes), all: bytes(disk.total_bytes) })}</span></div><${Meter} value=${disk.usage_percent} label=${disk.mount_point} text=${percent(disk.usage_percent)} /><small>${disk.device} · ${disk.fs_type}</small></div>`)}</div>`}</${Resource}></div>
    <div class="card"><${Resource} of=${health}>${(found) => html`<div class="stack">${found.map((disk) => html`<div key=${disk.device}><div class="row-line"><b>${disk.device}</b><${State} value=${disk.status} /></div><small>${[disk.model, disk.kind, bytes(disk.size_bytes), disk.temperature_c !== null ? `${disk.temperature_c} °C` : null].filter(Boolean).join(" · ")}</small>${disk.reason && html`<p class="muted">${disk.reason}</p>`}</div>`)}</div>`}</${Resource}></div></div></section>`;
}
