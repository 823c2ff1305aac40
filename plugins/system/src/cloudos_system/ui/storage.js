import { bytes, html, Meter, percent, Resource, useResource } from "cloudos";

export function Widget() {
  const disks = useResource("/api/system/disks", { refresh: 300 });
  return html`<${Resource} of=${disks} lines=${2}>${(found) => found.map((disk) => html`<div key=${disk.mount_point}><p class="row-line"><b>${disk.mount_point}</b><span class="muted">${bytes(disk.used_bytes)} / ${bytes(disk.total_bytes)}</span></p>
    <${Meter} value=${disk.usage_percent} label=${disk.mount_point} text=${percent(disk.usage_percent)} /></div>`)}</${Resource}>`;
}
