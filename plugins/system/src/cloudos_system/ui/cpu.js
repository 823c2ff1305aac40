import { html, Loading, Meter, percent, Sparkline, t } from "cloudos";
import { keyOf, pastOf, useReadings } from "./live.js";

const METRIC = "system.cpu.usage_percent";

export function Widget({ height }) {
  const readings = useReadings();
  const now = readings?.get(keyOf(METRIC))?.value;
  if (now === undefined) return html`<${Loading} lines=${1} />`;
  return html`<p class="figure"><b>${percent(now)}</b></p><${Meter} value=${now} label=${t("widget-cpu")} text=${percent(now)} />${height > 0 && html`<${Sparkline} values=${pastOf(METRIC)} most=${100} />`}`;
}
