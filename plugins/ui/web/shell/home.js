// Home: the apps of this node, and a grid of widgets that each person arranges, by hand or by arrows.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { api } from "../kit/api.js";
import { Dialog } from "../kit/dialog.js";
import { html } from "../kit/html.js";
import { Icon } from "../kit/icons.js";
import { t } from "../kit/messages.js";
import { can, user } from "../kit/session.js";
import { useResource } from "../kit/resource.js";
import { Empty, Resource } from "../kit/states.js";
import { attempt, toast } from "../kit/toast.js";
import { COLUMNS, moved, placed, resized, sound } from "./layout.js";
import { Contribution, contributions, titleOf } from "./contribution.js";

const KINDS = ["server", "personal"];

export function Home() {
  const [kind, choose] = useState(readKind());
  const layout = useResource(`/api/profile/dashboard?type=${kind}`, { events: ["dashboard.layout_saved"] });
  const hour = new Date().getHours();
  const pick = (wanted) => { choose(wanted); try { localStorage.setItem("cloudos.home", wanted); } catch { /* server next time */ } };
  const missing = layout.error?.status === 404; // an edition without dashboards shows the widgets as they come
  return html`<header class="page-head home-head"><div><h1 tabindex="-1">${t(hour >= 5 && hour < 12 ? "greeting-morning" : hour >= 12 && hour < 18 ? "greeting-day" : "greeting-evening", { name: user.value?.username ?? "" })}</h1></div>
      <fieldset class="segments compact"><legend class="visually-hidden">${t("home-kind")}</legend>${KINDS.map((each) => html`<label key=${each}><input type="radio" name="home-kind" checked=${kind === each} onChange=${() => pick(each)} /><span>${t(`home-${each}`)}</span></label>`)}</fieldset></header>
    ${missing ? html`<${Grid} key="fixed" kind=${kind} saved=${{ version: 0, layout: [] }} reload=${() => {}} fixed />`
      : html`<${Resource} of=${layout}>${(saved) => html`<${Grid} key=${kind} kind=${kind} saved=${saved} reload=${layout.reload} />`}</${Resource}>`}`;
}

// The default layout knows no plugins: it gives the order, they their sizes.
function arranged(saved, known) {
  const own = saved.layout.filter((each) => known.has(each.id));
  return saved.version === 0 ? placed([], own.map(({ id }) => known.get(id))) : sound(own);
}

function readKind() {
  try { return KINDS.includes(localStorage.getItem("cloudos.home")) ? localStorage.getItem("cloudos.home") : "server"; } catch { return "server"; }
}

function Grid({ kind, saved, reload, fixed = false }) {
  const widgets = contributions.value.widgets.filter((widget) => widget.dashboards.includes(kind));
  const known = useMemo(() => new Map(contributions.value.widgets.map((widget) => [widget.id, widget])), [contributions.value]);
  const [layout, put] = useState(() => arranged(saved, known));
  const [version, step] = useState(saved.version);
  const [editing, edit] = useState(false);
  const [adding, add] = useState(false);
  const [said, say] = useState("");
  const [drag, pull] = useState(null); // {id, layout}: while a hand moves it
  const grid = useRef(null);
  const saving = useRef(Promise.resolve());
  const versionNow = useRef(saved.version);
  useEffect(() => { if (saved.version !== versionNow.current && !drag) { put(arranged(saved, known)); step(saved.version); versionNow.current = saved.version; } }, [saved]);
  const arrangeable = can("dashboard:write") && !fixed;
  const all = fixed ? placed([], widgets) : (drag?.layout ?? layout);
  // what no plugin brings now keeps a place: it may come back
  const kept = saved.layout.filter((each) => !known.has(each.id)).map(({ id, w, h }) => ({ id, size: [Math.min(w, COLUMNS), h] }));

  const save = (next) => {
    put(next);
    saving.current = saving.current.then(async () => {
      try {
        const answer = await api(`/api/profile/dashboard?type=${kind}`, { method: "PUT", body: { version: versionNow.current, layout: placed(next, kept) } });
        versionNow.current = answer.version;
        step(answer.version);
      } catch (error) {
        if (error.status === 409) toast(t("layout-stale"), { kind: "bad" });
        else toast(error.message, { kind: "bad" });
        versionNow.current = -1; // what the node has is taken over
        await reload();
      }
    });
  };
  const keys = (event, id) => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!way || !editing) return;
    event.preventDefault();
    const next = event.shiftKey ? resized(layout, id, ...way) : moved(layout, id, ...way);
    const now = next.find((each) => each.id === id);
    save(next);
    say(t(event.shiftKey ? "widget-resized" : "widget-moved", { title: titleOf(known.get(id)), column: now.x + 1, row: now.y + 1, width: now.w, height: now.h }));
    requestAnimationFrame(() => grid.current?.querySelector(`[data-widget="${CSS.escape(id)}"] .grip`)?.focus());
  };
  const hold = (event, id, sizing) => {
    if (event.button || !editing) return;
    event.preventDefault();
    const box = grid.current.getBoundingClientRect();
    const style = getComputedStyle(grid.current);
    const columns = style.gridTemplateColumns.split(" ").length;
    if (columns !== COLUMNS) return; // a phone's single column is no arrangement
    const gap = parseFloat(style.columnGap);
    const cell = [(box.width + gap) / columns, parseFloat(style.gridAutoRows) + gap];
    const start = [event.clientX, event.clientY];
    let latest = layout;
    const go = (now) => {
      const by = [Math.round((now.clientX - start[0]) / cell[0]), Math.round((now.clientY - start[1]) / cell[1])];
      latest = sizing ? resized(layout, id, ...by) : moved(layout, id, ...by);
      pull({ id, layout: latest });
    };
    const drop = (end) => {
      removeEventListener("pointermove", go);
      removeEventListener("pointerup", drop);
      removeEventListener("pointercancel", drop);
      pull(null);
      if (end.type === "pointerup" && JSON.stringify(latest) !== JSON.stringify(layout)) save(latest);
    };
    addEventListener("pointermove", go);
    addEventListener("pointerup", drop);
    addEventListener("pointercancel", drop);
  };
  const remove = (id) => save(layout.filter((each) => each.id !== id));
  const restore = async () => {
    if (await attempt(() => api(`/api/profile/dashboard/versions/0/restore?type=${kind}`, { method: "POST" }), t("layout-restored"))) { versionNow.current = -1; reload(); }
  };
  const absent = widgets.filter((widget) => !layout.some((each) => each.id === widget.id));
  return html`<p class="visually-hidden" role="status">${said}</p>
    ${arrangeable && html`<div class="grid-tools">
      ${editing && html`<p class="muted">${t("arrange-hint")}</p>
        <button type="button" class="button small" onClick=${restore}>${t("arrange-default")}</button>
        <button type="button" class="button small" disabled=${!absent.length} onClick=${() => add(true)}><${Icon} name="plus" size=${16} />${t("arrange-add")}</button>`}
      <button type="button" class=${`button small ${editing ? "primary" : "quiet"}`} aria-pressed=${editing} onClick=${() => edit(!editing)}><${Icon} name=${editing ? "check" : "edit"} size=${16} />${editing ? t("arrange-done") : t("arrange")}</button></div>`}
    ${all.length ? html`<div class=${`grid ${editing ? "editing" : ""}`} ref=${grid}>${all.map((place) => {
      const widget = known.get(place.id);
      return html`<section key=${place.id} data-widget=${place.id} class=${`card widget ${drag?.id === place.id ? "dragged" : ""}`} aria-label=${titleOf(widget)}
          style=${{ gridColumn: `${place.x + 1} / span ${place.w}`, gridRow: `${place.y + 1} / span ${place.h}` }}>
        <header><h2>${titleOf(widget)}</h2>${editing && html`<span class="widget-tools">
          <button type="button" class="button icon-only grip" aria-label=${t("widget-move", { title: titleOf(widget) })} onKeyDown=${(e) => keys(e, place.id)} onPointerDown=${(e) => hold(e, place.id, false)}><${Icon} name="grip" size=${18} /></button>
          <button type="button" class="button icon-only" aria-label=${t("widget-remove", { title: titleOf(widget) })} onClick=${() => remove(place.id)}><${Icon} name="close" size=${18} /></button></span>`}</header>
        <div class="widget-body"><${Contribution} part=${widget} what="Widget" width=${place.w} height=${place.h} /></div>
        ${editing && html`<span class="sizer" aria-hidden="true" onPointerDown=${(e) => hold(e, place.id, true)}></span>`}
      </section>`;
    })}</div>` : html`<${Empty} icon="apps" title=${t("home-empty")} />`}
    ${adding && html`<${Dialog} title=${t("arrange-add")} close=${() => add(false)} size="small"><ul class="choices">${absent.map((widget) => html`<li key=${widget.id}><button type="button" class="row" onClick=${() => { add(false); save(placed(layout, [widget])); }}><${Icon} name=${widget.icon} size=${18} />${titleOf(widget)}</button></li>`)}</ul></${Dialog}>`}`;
}
