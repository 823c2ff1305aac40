// What a page reads from the API: loaded at once, again at events, at intervals, and when the node is back.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { api } from "./api.js";
import { events, resumed } from "./session.js";

// Options: events (prefixes of event types), refresh (seconds), prompt. `path` null loads nothing.
export function useResource(path, options = {}) {
  const [state, set] = useState({ data: undefined, error: null, loading: true });
  const current = useRef(null);
  const reload = useCallback(async () => {
    if (path === null) return;
    current.current?.abort();
    const aborter = (current.current = new AbortController());
    try {
      const data = await api(path, { signal: aborter.signal, prompt: options.prompt ?? false });
      if (!aborter.signal.aborted) set({ data, error: null, loading: false });
    } catch (error) {
      if (!aborter.signal.aborted) set((old) => ({ ...old, error, loading: false }));
    }
  }, [path]);
  useEffect(() => {
    set((old) => (old.data === undefined && old.loading ? old : { data: undefined, error: null, loading: true }));
    reload();
    return () => current.current?.abort();
  }, [path]);
  const prefixes = (options.events ?? []).join(" ");
  useEffect(() => {
    if (path === null) return undefined;
    let timer = null;
    const soon = () => (timer ??= setTimeout(() => { timer = null; reload(); }, 120));
    const ends = prefixes.split(" ").filter(Boolean).map((prefix) => events(prefix, soon));
    ends.push(resumed(soon));
    const again = options.refresh ? setInterval(() => !document.hidden && reload(), options.refresh * 1000) : null;
    return () => { ends.forEach((stop) => stop()); clearTimeout(timer); clearInterval(again); };
  }, [path, prefixes, options.refresh]);
  return { ...state, reload, set: (data) => set({ data, error: null, loading: false }) };
}

// Retry by itself after the time that the node asked for.
export function useRetry(error, retry) {
  useEffect(() => {
    if (!error?.retryAfter || error.status === 402) return undefined;
    const timer = setTimeout(retry, Math.min(error.retryAfter, 60) * 1000);
    return () => clearTimeout(timer);
  }, [error]);
}
