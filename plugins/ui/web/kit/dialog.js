// Dialogs are the browser's own: the focus stays within and goes back, Escape closes, what lies below is inert.
import { signal } from "@preact/signals";
import { useEffect, useId, useRef } from "preact/hooks";
import { html } from "./html.js";
import { Icon } from "./icons.js";
import { t } from "./messages.js";

export function Dialog({ title, close, children, actions, size = "medium", closable = true }) {
  const dialog = useRef(null);
  const id = useId();
  useEffect(() => {
    const opener = document.activeElement;
    dialog.current.showModal();
    return () => opener?.isConnected && opener.focus?.();
  }, []);
  const cancel = (event) => { event.preventDefault(); if (closable) close(); };
  return html`<dialog ref=${dialog} class=${`dialog ${size}`} aria-labelledby=${id} onCancel=${cancel}
      onClick=${(event) => closable && event.target === dialog.current && event.detail && close()}>
    <div class="dialog-body">
      <header><h2 id=${id}>${title}</h2>
        ${closable && html`<button type="button" class="button icon-only" aria-label=${t("close")} onClick=${close}><${Icon} name="close" /></button>`}</header>
      <div class="dialog-content">${children}</div>
      ${actions && html`<footer>${actions}</footer>`}
    </div>
  </dialog>`;
}

const asked = signal([]);

// Ask before something is lost; resolves with {option: true…} or null. `options` are boxes, each {name, label, hint}.
// With `typed` the text must be typed first: for what cannot be brought back.
export function confirm({ title, text, action, danger = true, options = [], typed = null }) {
  return new Promise((resolve) => {
    const each = { title, text, action, danger, options, typed };
    each.settle = (outcome) => { asked.value = asked.value.filter((other) => other !== each); resolve(outcome); };
    asked.value = [...asked.value, each];
  });
}

export function Confirmations() {
  return asked.value.map((each, place) => html`<${Confirmation} key=${place} ...${each} />`);
}

function Confirmation({ title, text, action, danger, options, typed, settle }) {
  const form = useRef(null);
  const submit = (event) => {
    event.preventDefault();
    const data = new FormData(form.current);
    if (typed && data.get("typed") !== typed) return form.current.elements.typed.focus();
    settle(Object.fromEntries(options.map(({ name }) => [name, data.has(name)])));
  };
  return html`<${Dialog} title=${title} size="small" close=${() => settle(null)}>
    <form ref=${form} onSubmit=${submit} class="stack">
      <p>${text}</p>
      ${options.map(({ name, label, hint }) => html`<label class="check" key=${name}><input type="checkbox" name=${name} /><span>${label}${hint && html`<small>${hint}</small>`}</span></label>`)}
      ${typed && html`<label class="field"><span>${t("confirm-type", { text: typed })}</span><input name="typed" autocomplete="off" autofocus /></label>`}
      <div class="dialog-actions">
        <button type="button" class="button" onClick=${() => settle(null)}>${t("cancel")}</button>
        <button class=${`button ${danger ? "danger" : "primary"}`}>${action}</button>
      </div>
    </form>
  </${Dialog}>`;
}

// Something that is shown once, such as a new key.
export function showOnce({ title, text, value }) {
  return new Promise((resolve) => {
    const each = { once: true, title, text, value };
    each.settle = () => { shown.value = shown.value.filter((other) => other !== each); resolve(); };
    shown.value = [...shown.value, each];
  });
}

export const shown = signal([]);
