import { bytes, html, Loading, Sparkline, t } from "cloudos";
import { isReal, pastOf, useReadings } from "./live.js";

export function Widget() {
  const readings = useReadings();
  if (!readings) return html`<${Loading} />`;
  const names = [...new Set([...readings.values()].map((each) => each.labels.interface).filter(Boolean))];
  const shown = names.some(isReal) ? names.filter(isReal) : names.slice(0, 3);
  return shown.slice(0, 3).map((name) => {
    const keys = ["rx", "tx"].map((way) => `system.network.${way}_bytes_per_sec,interface=${name}`);
    const [down, up] = keys.map((key) => readings.get(key)?.value);
    const most = Math.max(1, ...keys.flatMap(pastOf));
    return html`<section key=${name} class="interface"><h3>${name}</h3>
      <div class="row-line"><span>↓ <b>${bytes(down)}/s</b> <span class="visually-hidden">${t("system-received")}</span></span><span>↑ <b>${bytes(up)}/s</b> <span class="visually-hidden">${t("system-sent")}</span></span></div>
      <${Sparkline} values=${pastOf(keys[0])} most=${most} /><${Sparkline} values=${pastOf(keys[1])} most=${most} /></section>`;
  });
}
