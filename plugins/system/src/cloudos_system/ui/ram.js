import { html, Loading, Meter, number, percent, t } from "cloudos";
import { keyOf, useReadings } from "./live.js";

export function Widget() {
  const readings = useReadings();
  const share = readings?.get(keyOf("system.memory.usage_percent"))?.value;
  if (share === undefined) return html`<${Loading} lines=${1} />`;
  const used = readings.get(keyOf("system.memory.used_mb"))?.value;
  const free = readings.get(keyOf("system.memory.available_mb"))?.value;
  return html`<p class="figure"><b>${percent(share)}</b></p><${Meter} value=${share} label=${t("widget-ram")} text=${percent(share)} />
    <p class="muted">${t("system-memory-of", { used: number(used / 1024, 1), all: number((used + free) / 1024, 1) })}</p>`;
}
