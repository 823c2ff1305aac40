// What a page shows while it has nothing to show: loading, empty, a failure; and small parts that are everywhere.
import { useEffect, useState } from "preact/hooks";
import { html } from "./html.js";
import { Icon } from "./icons.js";
import { t } from "./messages.js";
import { ago, time } from "./format.js";
import { useRetry } from "./resource.js";
import { UpgradePrompt } from "./upgrade.js";

export function Loading({ lines = 3 }) {
  const [late, set] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => set(true), 150); // what is there at once does not flicker
    return () => clearTimeout(timer);
  }, []);
  return html`<div class="loading" role="status">
    <span class="visually-hidden">${t("loading")}</span>
    ${late && Array.from({ length: lines }, (_, place) => html`<span class="skeleton" key=${place}></span>`)}
  </div>`;
}

export function Empty({ icon = "info", title, children }) {
  return html`<div class="empty"><${Icon} name=${icon} size=${32} /><p class="empty-title">${title}</p>${children && html`<div class="muted">${children}</div>`}</div>`;
}

// An error in words, with what can be done: wait, try again.
export function Failure({ error, retry, compact = false }) {
  useRetry(retry ? error : null, retry);
  if (error.status === 402) return html`<${UpgradePrompt} problem=${error.body} />`;
  const title = error.code === "offline" ? t("error-offline-title") : error.status === 503 ? t("error-unavailable-title")
    : error.status === 429 ? t("error-busy-title") : error.status === 403 ? t("error-forbidden-title")
    : error.status === 404 ? t("error-not-found-title") : t("error-title");
  return html`<div class=${`failure ${compact ? "compact" : ""}`} role="alert">
    <${Icon} name="alert" />
    <div>
      <p class="failure-title">${title}</p>
      <p>${error.message}</p>
      ${error.retryAfter ? html`<p class="muted">${t("error-retry-after", { seconds: error.retryAfter })}</p>` : null}
      ${retry && html`<button type="button" class="button small" onClick=${retry}>${t("try-again")}</button>`}
    </div>
  </div>`;
}

// The states of a resource, and `children(data)` once there is something.
export function Resource({ of, children, lines }) {
  if (of.error && of.data === undefined) return html`<${Failure} error=${of.error} retry=${of.reload} />`;
  if (of.data === undefined) return html`<${Loading} lines=${lines} />`;
  return html`${of.error ? html`<${Failure} error=${of.error} retry=${of.reload} compact />` : null}${children(of.data)}`;
}

const TONES = {
  good: ["running", "active", "healthy", "succeeded", "delivered", "ok", "passed", "valid", "resolved", "enabled"],
  bad: ["crashed", "failed", "error", "failing", "firing", "critical", "expired"],
  busy: ["installing", "updating", "uninstalling", "queued", "pending", "waiting", "retrying", "provisioning"],
  warn: ["warning", "expiring_soon", "degraded", "unknown", "no_data", "disabled"],
};

export function State({ value }) {
  const tone = Object.keys(TONES).find((each) => TONES[each].includes(value)) ?? "idle";
  return html`<span class=${`state ${tone}`}>${t(`state-${value}`, null, String(value ?? "–").replaceAll("_", " "))}</span>`;
}

export function Time({ value, relative = true }) {
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => tick((n) => n + 1), 60000);
    return () => clearInterval(timer);
  }, []);
  return html`<time datetime=${value ?? ""} title=${relative ? time(value) : undefined}>${relative ? ago(value) : time(value)}</time>`;
}

export function PageHead({ title, lead, back, children }) {
  return html`<header class="page-head">
    <div>
      ${back && html`<a class="back" href=${back.href}><${Icon} name="back" size=${16} />${back.title}</a>`}
      <h1 tabindex="-1">${title}</h1>
      ${lead && html`<p class="lead">${lead}</p>`}
    </div>
    ${children && html`<div class="page-actions">${children}</div>`}
  </header>`;
}

// A tile for what has no picture of its own: two letters on a colour that its name always has.
export function Tile({ name, size = "medium" }) {
  const text = String(name ?? "?");
  const hue = [...text].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 12, 7);
  const words = text.split(/[\s_-]+/).filter(Boolean);
  const letters = (words.length > 1 ? [...words[0]][0] + [...words[1]][0] : [...text].slice(0, 2).join("")).toUpperCase();
  return html`<span class=${`tile tile-${hue} tile-${size}`} aria-hidden="true">${letters}</span>`;
}

// A value to copy, also where the clipboard is closed to pages (a node by plain http).
export function Copyable({ value, label }) {
  const [copied, set] = useState(false);
  const copy = async (event) => {
    const field = event.currentTarget.previousElementSibling;
    try {
      await navigator.clipboard.writeText(value);
    } catch {
      field.focus();
      field.select();
      try { document.execCommand("copy"); } catch { return; }
    }
    set(true);
    setTimeout(() => set(false), 2000);
  };
  return html`<span class="copyable"><input readonly value=${value} aria-label=${label} onFocus=${(e) => e.currentTarget.select()} />
    <button type="button" class="button small" onClick=${copy}><${Icon} name=${copied ? "check" : "copy"} size=${16} /><span>${copied ? t("copied") : t("copy")}</span></button></span>`;
}
