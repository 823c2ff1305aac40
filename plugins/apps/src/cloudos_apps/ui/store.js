// The app store: the catalogue at /store, one template with its install at /store/<name>.
import { api, Empty, html, Icon, PageHead, Resource, t, Tile, useResource } from "cloudos";
import { useEffect, useMemo, useState } from "preact/hooks";
import { TemplatePage } from "./install.js";

export function Page({ rest, query }) {
  return rest ? html`<${TemplatePage} key=${rest} name=${decodeURIComponent(rest)} />` : html`<${Catalogue} start=${query.get("q") ?? ""} />`;
}

function useTemplates() {
  const first = useResource("/api/templates?limit=500", { events: ["template_source."] });
  const [more, add] = useState([]);
  useEffect(() => {
    let gone = false;
    const load = async (last) => {
      const page = await api("/api/templates", { query: { limit: 500, after: last } });
      if (gone) return;
      add((old) => [...old, ...page]);
      if (page.length === 500) await load(page.at(-1).name);
    };
    add([]);
    if (first.data?.length === 500) load(first.data.at(-1).name).catch(() => {});
    return () => { gone = true; };
  }, [first.data]);
  return { ...first, data: first.data && [...first.data, ...more] };
}

const CHUNK = 60;

function Catalogue({ start }) {
  const templates = useTemplates();
  const [text, type] = useState(start);
  const [category, choose] = useState("");
  const [most, show] = useState(CHUNK);
  const categories = useMemo(() => {
    const counts = new Map();
    for (const each of templates.data ?? []) counts.set(each.category, (counts.get(each.category) ?? 0) + 1);
    return [...counts].sort(([a], [b]) => a.localeCompare(b));
  }, [templates.data]);
  const found = useMemo(() => {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    return (templates.data ?? []).filter((each) => (!category || each.category === category) && words.every((word) => `${each.display_name} ${each.name} ${each.description} ${each.category}`.toLowerCase().includes(word)));
  }, [templates.data, text, category]);
  return html`<${PageHead} title=${t("page-store")} lead=${t("store-lead")} />
    <div class="store-tools"><div class="store-search"><${Icon} name="search" size=${18} /><input type="search" aria-label=${t("store-search")} placeholder=${t("store-search")} value=${text} onInput=${(e) => { type(e.currentTarget.value); show(CHUNK); }} /></div>
      <div class="chips" role="group" aria-label=${t("store-categories")}>${[["", templates.data?.length ?? 0], ...categories].map(([name, count]) => html`<button type="button" key=${name} class="chip" aria-pressed=${category === name} onClick=${() => { choose(name); show(CHUNK); }}>${name ? name.replaceAll("-", " ") : t("store-all")} <span class="muted">${count}</span></button>`)}</div></div>
    <${Resource} of=${templates} lines=${8}>${() => html`<p class="visually-hidden" role="status">${t("search-count", { count: found.length })}</p>${found.length
      ? html`<ul class="store-grid">${found.slice(0, most).map((each) => html`<li key=${each.name}><a class="card store-card" href=${`/store/${encodeURIComponent(each.name)}`}><${Tile} name=${each.display_name} /><span class="store-text"><b>${each.display_name}</b><span class="muted">${each.description}</span></span></a></li>`)}</ul>
          ${found.length > most && html`<div class="store-more"><button type="button" class="button" onClick=${() => show(most + CHUNK)}>${t("show-more")}</button></div>`}`
      : html`<div class="card"><${Empty} icon="search" title=${t("search-none", { text: text || category })} /></div>`}`}</${Resource}>`;
}
