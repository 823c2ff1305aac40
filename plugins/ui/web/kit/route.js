// Where the page is, by the address bar. Links are plain <a href>; those within the node are followed without a load.
import { signal } from "@preact/signals";

export const route = signal(here());
let blocker = null;

function here() {
  return { path: location.pathname.replace(/\/+$/, "") || "/", query: new URLSearchParams(location.search), hash: location.hash };
}

export function navigate(to, { replace = false } = {}) {
  if (blocker && !blocker(to)) return;
  history[replace ? "replaceState" : "pushState"](null, "", to);
  route.value = here();
  if (!replace) scrollTo(0, 0);
}

// Ask before the page is left; return what ends that. `ask(to)` returns whether to go.
export function blockLeaving(ask) {
  const before = (event) => event.preventDefault();
  blocker = ask;
  addEventListener("beforeunload", before);
  return () => {
    removeEventListener("beforeunload", before);
    if (blocker === ask) blocker = null;
  };
}

export function startRouting() {
  addEventListener("popstate", () => (route.value = here()));
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[href]");
    if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    if (link.target || link.hasAttribute("download") || link.origin !== location.origin) return;
    if (link.pathname.startsWith("/api/") || link.pathname.startsWith("/ui/")) return;
    if (link.hash && link.pathname === location.pathname && link.search === location.search) return;
    event.preventDefault();
    navigate(link.pathname + link.search + link.hash);
  });
}
