import { html } from "../kit/html.js";

export function Logo({ size = 32 }) {
  return html`<svg class="logo" width=${size} height=${size} viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="8" /><path d="M10.500 21.500h11.200a4.300 4.300 0 0 0 .6-8.560 6.200 6.200 0 0 0-11.900-1.340A5 5 0 0 0 10.500 21.500z" /></svg>`;
}
