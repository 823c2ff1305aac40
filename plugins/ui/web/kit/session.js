// Who is signed in, and what all tabs share: the CSRF token, the session's refresh, the streams.
import { signal } from "@preact/signals";

const KEPT = "cloudos.csrf_token"; // the sign-in page of gated apps keeps it under this name too

export const user = signal(null); // null: not known or nobody
export const permissions = signal(new Set());
export const online = signal(true); // whether the node answers
export const signedOut = signal(false); // a session ended under an open page

let csrf = read(KEPT);
let worker = null;
let counter = 0;
const asked = new Map();
const followers = new Map(); // path -> Set of {message, state}

export const csrfToken = () => csrf;

export function can(permission) {
  return permissions.value.has(permission);
}

export function begin(token) {
  csrf = token;
  write(KEPT, token);
  signedOut.value = false;
  post({ type: "hello", csrf });
}

export function end() {
  csrf = null;
  write(KEPT, null);
  user.value = null;
  permissions.value = new Set();
  post({ type: "end" });
}

// Resolve with whether the session goes on; one refresh serves all tabs.
export function refresh(since) {
  return new Promise((resolve) => {
    const id = `${Date.now()}-${++counter}`;
    asked.set(id, resolve);
    post({ type: "refresh", id, since });
  });
}

// Call `message({event, data})` for each message of a stream of server-sent events; return what ends it.
export function follow(path, message, state = () => {}) {
  const each = { message, state };
  if (!followers.has(path)) followers.set(path, new Set());
  followers.get(path).add(each);
  post({ type: "follow", path });
  return () => {
    if (followers.get(path)?.delete(each)) post({ type: "unfollow", path });
  };
}

// Call `handler(event)` for each event whose type begins with `prefix`; return what ends it.
export function events(prefix, handler) {
  return follow("/api/events", ({ event, data }) => event.startsWith(prefix) && handler({ ...data, type: event }));
}

// Call `handler()` when the stream is back after it was lost: what was shown may be old.
export function resumed(handler) {
  return follow("/api/events", () => {}, (state, again) => state === "open" && again && handler());
}

export function startWorker() {
  const url = document.getElementById("app").dataset.worker;
  if (typeof SharedWorker === "function") {
    const shared = new SharedWorker(url, { name: "cloudos" });
    worker = shared.port;
    worker.onmessage = (given) => receive(given.data);
  } else {
    worker = new Worker(url);
    worker.onmessage = (given) => receive(given.data);
  }
  post({ type: "hello", csrf });
  addEventListener("pagehide", () => post({ type: "bye" }));
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    post({ type: "hello", csrf });
    for (const [path, all] of followers) for (const _ of all) post({ type: "follow", path });
  });
  addEventListener("storage", (event) => {
    if (event.key !== KEPT || event.newValue === csrf) return;
    if (event.newValue === null) signedOut.value = Boolean(user.value); // another tab signed out
    else { csrf = event.newValue; post({ type: "hello", csrf }); if (signedOut.value) location.reload(); }
  });
}

function post(message) {
  worker?.postMessage(message);
}

function receive(given) {
  if (given.type === "message") {
    for (const each of [...(followers.get(given.path) ?? [])]) guarded(() => each.message(given));
  } else if (given.type === "state") {
    if (given.path === "/api/events") online.value = given.state !== "lost";
    for (const each of [...(followers.get(given.path) ?? [])]) guarded(() => each.state(given.state, given.resumed));
  } else if (given.type === "csrf") {
    csrf = given.csrf;
    write(KEPT, csrf);
  } else if (given.type === "refreshed") {
    asked.get(given.id)?.(given);
    asked.delete(given.id);
  } else if (given.type === "signed-out") {
    if (user.value) signedOut.value = true;
  }
}

function guarded(call) {
  try {
    call();
  } catch (error) {
    console.warn("a listener failed", error);
  }
}

function read(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

function write(name, value) {
  try {
    if (value === null) localStorage.removeItem(name);
    else localStorage.setItem(name, value);
  } catch {
    // a browser that keeps nothing forgets the session with the tab
  }
}
