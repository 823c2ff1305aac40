// Short notes at the edge: said to screen readers, gone after a while, errors stay until they are closed.
import { signal } from "@preact/signals";
import { html } from "./html.js";
import { Icon } from "./icons.js";
import { t } from "./messages.js";

const toasts = signal([]);
let counter = 0;

export function toast(text, { kind = "good", link = null } = {}) {
  const id = ++counter;
  toasts.value = [...toasts.value.slice(-3), { id, text, kind, link }];
  if (kind !== "bad") setTimeout(() => dismiss(id), 6000);
  return id;
}

// Run what a button does; what fails is said. Returns what it returned, or undefined.
export async function attempt(work, done) {
  try {
    const outcome = await work();
    if (done) toast(done);
    return outcome ?? null;
  } catch (error) {
    if (error.code !== "upgrade_required" && error.name !== "AbortError") toast(error.message, { kind: "bad" });
    return undefined;
  }
}

function dismiss(id) {
  toasts.value = toasts.value.filter((each) => each.id !== id);
}

export function Toasts() {
  return html`<div class="toasts">
    <div role="status" aria-live="polite">${toasts.value.filter((each) => each.kind !== "bad").map(card)}</div>
    <div role="alert">${toasts.value.filter((each) => each.kind === "bad").map(card)}</div>
  </div>`;
}

function card(each) {
  return html`<div class=${`toast ${each.kind}`} key=${each.id}>
    <${Icon} name=${each.kind === "bad" ? "alert" : "check"} />
    <p>${each.text}${each.link && html` <a href=${each.link.href}>${each.link.title}</a>`}</p>
    <button type="button" class="button icon-only" aria-label=${t("close")} onClick=${() => dismiss(each.id)}><${Icon} name="close" size=${16} /></button>
  </div>`;
}
