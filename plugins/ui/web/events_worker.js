// One connection for all tabs: a browser gives a host six, and each stream would hold one in every tab. It also
// refreshes the session for all of them, since a refresh token that two tabs use at once ends the session.
const RETRY = [500, 1000, 2000, 5000, 10000];
const SILENCE = 50000; // the server says something every 15 s
const MOST = 1024 * 1024;

const ports = new Set();
const streams = new Map(); // path -> Stream
let csrf = null;
let refreshing = null;
let refreshedAt = 0;

class Stream {
  constructor(path) {
    this.path = path;
    this.listeners = new Map(); // port -> count
    this.last = null;
    this.latest = null;
    this.tries = 0;
    this.state = "connecting";
    this.running = false;
    this.aborter = null;
  }
  start() {
    if (!this.running && csrf) {
      this.running = true;
      this.run().finally(() => (this.running = false));
    }
  }
  stop() {
    this.running = false;
    this.aborter?.abort();
  }
  tell(message) {
    for (const port of this.listeners.keys()) port.postMessage({ ...message, path: this.path });
  }
  become(state) {
    if (this.state === state) return;
    const resumed = state === "open" && this.state === "lost";
    this.state = state;
    this.tell({ type: "state", state, resumed });
  }
  async run() {
    while (this.listeners.size && csrf) {
      const outcome = await this.connect().catch(() => "lost");
      if (!this.listeners.size || !csrf) return;
      if (outcome === "unauthorized") {
        const answer = await refresh(Date.now());
        if (answer.ok) continue;
        if (answer.ended) return endSession();
      }
      if (outcome === "refused") return; // not this caller's to see, or not there
      if (outcome === "ended") { this.tries = 0; await pause(200); continue; } // the token's time was up, or the node stops
      this.become("lost");
      await pause(RETRY[Math.min(this.tries++, RETRY.length - 1)] * (0.8 + Math.random() * 0.4));
    }
  }
  async connect() {
    this.aborter = new AbortController();
    let heard = Date.now();
    const watch = setInterval(() => Date.now() - heard > SILENCE && this.aborter.abort(), 5000);
    try {
      const headers = { Accept: "text/event-stream", "X-CSRF-Token": csrf };
      if (this.last) headers["Last-Event-ID"] = this.last;
      const answer = await fetch(this.path, { headers, signal: this.aborter.signal, cache: "no-store" });
      if (answer.status === 401) return "unauthorized";
      if (answer.status === 403 || answer.status === 404) return "refused";
      if (!answer.ok) return "lost";
      this.become("open");
      this.tries = 0;
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return "ended";
        heard = Date.now();
        const parts = (rest + value).split("\n\n");
        rest = parts.pop();
        if (rest.length > MOST) return "lost";
        for (const part of parts) this.take(part);
      }
    } finally {
      clearInterval(watch);
    }
  }
  take(part) {
    const message = { type: "message", id: null, event: "message", data: "" };
    for (const line of part.split("\n")) {
      if (line.startsWith("data: ")) message.data += line.slice(6);
      else if (line.startsWith("event: ")) message.event = line.slice(7);
      else if (line.startsWith("id: ")) message.id = this.last = line.slice(4);
    }
    if (!message.data) return;
    try {
      message.data = JSON.parse(message.data);
    } catch {
      return;
    }
    if (this.path !== "/api/events") this.latest = message; // samples: a tab that comes later need not wait for the next
    this.tell(message);
  }
}

// `since`: when the request began that was refused; a refresh that ended after it serves it too.
function refresh(since) {
  if (since < refreshedAt) return Promise.resolve({ ok: true, csrf });
  refreshing ??= renew().finally(() => (refreshing = null));
  return refreshing;
}

async function renew() {
  if (!csrf) return { ok: false, ended: true };
  try {
    const answer = await fetch("/api/auth/refresh", {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-CSRF-Token": csrf },
      body: "{}",
    });
    if (answer.ok) {
      csrf = (await answer.json()).csrf_token;
      refreshedAt = Date.now();
      broadcast({ type: "csrf", csrf });
      return { ok: true, csrf };
    }
    return { ok: false, ended: [400, 401, 403].includes(answer.status), status: answer.status };
  } catch {
    return { ok: false, ended: false };
  }
}

function endSession() {
  csrf = null;
  for (const stream of streams.values()) stream.stop();
  broadcast({ type: "signed-out" });
}

function broadcast(message) {
  for (const port of ports) port.postMessage(message);
}

function drop(port) {
  ports.delete(port);
  for (const [path, stream] of streams) {
    stream.listeners.delete(port);
    if (!stream.listeners.size) {
      stream.stop();
      streams.delete(path);
    }
  }
}

async function receive(port, message) {
  if (message.type === "hello") {
    ports.add(port);
    if (message.csrf && message.csrf !== csrf) {
      csrf = message.csrf;
      for (const stream of streams.values()) { stream.last = null; stream.aborter?.abort(); stream.start(); }
    }
  } else if (message.type === "follow") {
    let stream = streams.get(message.path);
    if (!stream) streams.set(message.path, (stream = new Stream(message.path)));
    stream.listeners.set(port, (stream.listeners.get(port) ?? 0) + 1);
    port.postMessage({ type: "state", path: message.path, state: stream.state, resumed: false });
    if (stream.latest) port.postMessage({ ...stream.latest, path: message.path });
    stream.start();
  } else if (message.type === "unfollow") {
    const stream = streams.get(message.path);
    if (!stream) return;
    const left = (stream.listeners.get(port) ?? 1) - 1;
    if (left > 0) stream.listeners.set(port, left);
    else stream.listeners.delete(port);
    if (!stream.listeners.size) {
      stream.stop();
      streams.delete(message.path);
    }
  } else if (message.type === "refresh") {
    const answer = await refresh(message.since);
    port.postMessage({ type: "refreshed", id: message.id, ...answer });
    if (answer.ended) endSession();
  } else if (message.type === "end") {
    endSession();
  } else if (message.type === "bye") {
    drop(port);
  }
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

if ("onconnect" in self) {
  self.onconnect = (event) => {
    const [port] = event.ports;
    port.onmessage = (given) => receive(port, given.data);
  };
} else {
  ports.add(self);
  self.onmessage = (given) => receive(self, given.data);
}
