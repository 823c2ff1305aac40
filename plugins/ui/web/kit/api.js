// The REST API, as everybody may use it: `await api("/api/apps")`. Raises ApiError with what the node said.
import { signal } from "@preact/signals";
import { csrfToken, online, refresh, signedOut, user } from "./session.js";
import { t } from "./messages.js";

export const upgrade = signal(null); // {problem, settle}: the one dialog about the plan

export class ApiError extends Error {
  constructor(status, body, retryAfter) {
    super(body?.message || t("error-status", { status }));
    this.status = status;
    this.code = body?.error ?? "error";
    this.body = body ?? {};
    this.fields = body?.fields ?? [];
    this.retryAfter = retryAfter;
  }
}

export class OfflineError extends Error {
  constructor() {
    super(t("error-offline"));
    this.code = "offline";
    this.status = 0;
  }
}

export const isUpgradeError = (error) => error?.code === "upgrade_required";

// Options: method, body (sent as JSON), query, signal, prompt (false: a 402 opens no dialog), raw (the Response itself).
export async function api(path, options = {}) {
  const { method = options.body === undefined ? "GET" : "POST", body, query, signal: abort, prompt = true, raw = false } = options;
  const url = query ? `${path}${path.includes("?") ? "&" : "?"}${new URLSearchParams(clean(query))}` : path;
  for (let refreshed = false; ; refreshed = true) {
    const began = Date.now();
    const answer = await send(url, method, body, abort, raw);
    if (answer.ok) return raw ? answer : answer.status === 204 ? null : await json(answer);
    const problem = await json(answer);
    if (answer.status === 401 && csrfToken() && !refreshed && !path.startsWith("/api/auth/login")) {
      const outcome = await refresh(began);
      if (outcome.ok) continue;
      if (outcome.ended && user.value) signedOut.value = true;
    }
    if (answer.status === 402 && problem?.error === "upgrade_required" && prompt) {
      if (await asksForUpgrade(problem)) continue;
    }
    throw new ApiError(answer.status, problem, Number(answer.headers.get("Retry-After")) || null);
  }
}

async function send(url, method, body, signal, raw) {
  const headers = { Accept: raw ? "*/*" : "application/json" };
  if (csrfToken()) headers["X-CSRF-Token"] = csrfToken();
  if (body !== undefined) headers["Content-Type"] = "application/json";
  try {
    const answer = await fetch(url, { method, headers, signal, cache: "no-store", body: body === undefined ? undefined : JSON.stringify(body) });
    return answer;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    online.value = false;
    throw new OfflineError();
  }
}

function asksForUpgrade(problem) {
  return new Promise((resolve) => {
    upgrade.value = { problem, settle: (go) => { upgrade.value = null; resolve(go); } };
  });
}

async function json(answer) {
  try {
    return await answer.json();
  } catch {
    return null;
  }
}

function clean(query) {
  return Object.fromEntries(Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== ""));
}
