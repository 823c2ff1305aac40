// A log that goes on: only the lines in sight are drawn, so that a hundred thousand stay usable.
import { api, attempt, can, html, Icon, t } from "cloudos";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";

const MOST = 100_000;
const LINE = 20;
const FIRST = 1000;

export function LogView({ app }) {
  const [version, bump] = useState(0);
  const lines = useRef([]);
  const [text, type] = useState("");
  const [service, choose] = useState("");
  const [paused, pause] = useState(false);
  const [state, become] = useState("connecting");
  const [top, scroll] = useState(0);
  const [height, measure] = useState(400);
  const box = useRef(null);
  const follow = useRef(true);
  const held = useRef(false);
  held.current = paused;

  useEffect(() => {
    let aborter = null;
    let gone = false;
    let waiting = false;
    let last = null;
    const draw = () => {
      if (waiting || held.current) return;
      waiting = true;
      requestAnimationFrame(() => { waiting = false; if (!gone) bump((n) => n + 1); });
    };
    const read = async () => {
      for (let tries = 0; !gone; tries += 1) {
        if (document.hidden) { await new Promise((go) => document.addEventListener("visibilitychange", go, { once: true })); continue; }
        aborter = new AbortController();
        try {
          const query = last ? { follow: true, lines: FIRST, since: last } : { follow: true, lines: FIRST };
          const answer = await api(`/api/apps/${app.id}/logs`, { query, raw: true, signal: aborter.signal });
          become("open");
          tries = 0;
          const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
          let rest = "";
          const known = new Set(last ? lines.current.slice(-FIRST).map(key) : []);
          for (;;) {
            const { value, done } = await reader.read();
            if (done) break;
            const parts = (rest + value).split("\n");
            rest = parts.pop();
            for (const part of parts) {
              if (!part) continue;
              const line = JSON.parse(part);
              if (line.message === undefined || known.has(key(line))) continue;
              line.number = (lines.current.at(-1)?.number ?? 0) + 1;
              lines.current.push(line);
              last = line.timestamp;
            }
            if (lines.current.length > MOST * 1.1) lines.current = lines.current.slice(-MOST);
            draw();
          }
          become("ended");
        } catch (error) {
          if (gone) return;
          become(error.name === "AbortError" ? "hidden" : "lost");
          if ([403, 404, 409].includes(error.status)) return;
        }
        if (!gone && !document.hidden) await new Promise((go) => setTimeout(go, Math.min(10000, 1000 * 2 ** Math.min(tries, 4))));
      }
    };
    // one connection a tab, and none for a tab that nobody looks at
    const hide = () => document.hidden && aborter?.abort();
    document.addEventListener("visibilitychange", hide);
    read();
    return () => { gone = true; aborter?.abort(); document.removeEventListener("visibilitychange", hide); };
  }, [app.id, app.status === "running"]);

  useEffect(() => {
    const observer = new ResizeObserver(() => measure(box.current?.clientHeight ?? 400));
    observer.observe(box.current);
    return () => observer.disconnect();
  }, []);

  const services = app.services;
  const shown = useMemo(() => {
    const wanted = text.toLowerCase();
    return wanted || service ? lines.current.filter((line) => (!service || line.service === service) && (!wanted || line.message.toLowerCase().includes(wanted))) : lines.current;
  }, [version, text, service, paused]);
  useEffect(() => { if (follow.current && !paused && box.current) box.current.scrollTop = box.current.scrollHeight; }, [version, shown.length]);
  const first = Math.max(0, Math.floor(top / LINE) - 20);
  const some = shown.slice(first, first + Math.ceil(height / LINE) + 40);
  const moved = () => {
    const { scrollTop, scrollHeight, clientHeight } = box.current;
    follow.current = scrollHeight - scrollTop - clientHeight < LINE * 2;
    scroll(scrollTop);
  };
  const save = () => {
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(new Blob([shown.map((line) => `${line.timestamp} ${line.service} ${line.message}`).join("\n")], { type: "text/plain" })), download: `${app.name}.log` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
  const [wide] = [Math.max(1, ...services.map((each) => each.length))];
  return html`<section class="card flush log"><div class="log-tools">
      <div class="store-search"><${Icon} name="search" size=${18} /><input type="search" aria-label=${t("logs-search")} placeholder=${t("logs-search")} value=${text} onInput=${(e) => type(e.currentTarget.value)} /></div>
      ${services.length > 1 && html`<select aria-label=${t("apps-services")} value=${service} onChange=${(e) => choose(e.currentTarget.value)}><option value="">${t("logs-all")}</option>${services.map((each) => html`<option key=${each}>${each}</option>`)}</select>`}
      <button type="button" class="button" aria-pressed=${paused} onClick=${() => pause(!paused)}><${Icon} name=${paused ? "play" : "pause"} size=${16} />${paused ? t("logs-go-on") : t("logs-pause")}</button>
      <button type="button" class="button" onClick=${save}>${t("logs-save")}</button>
      <span class="muted log-count" role="status">${t("logs-count", { count: shown.length })}${state === "lost" ? ` · ${t("logs-lost")}` : ""}</span></div>
    <div class="log-box" ref=${box} onScroll=${moved} tabindex="0" role="log" aria-live="off" aria-label=${t("logs-of", { name: app.name })}>
      <div class="log-all" style=${{ height: `${shown.length * LINE}px` }}><div class="log-some" style=${{ transform: `translateY(${first * LINE}px)` }}>
        ${some.map((line) => html`<div class="log-line" key=${line.number}><span class="log-time">${line.timestamp.slice(11, 19)}</span>${services.length > 1 && html`<span class="log-service">${line.service.padEnd(wide)}</span>`}<span>${line.message}</span></div>`)}</div></div>
      ${!shown.length && html`<p class="log-none muted">${text ? t("search-none", { text }) : t("logs-none")}</p>`}</div></section>`;
}

const key = (line) => `${line.timestamp}${line.service}${line.message}`;
