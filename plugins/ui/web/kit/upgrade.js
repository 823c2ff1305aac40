// What the plan lacks: one dialog for a request that was refused, which is sent again once the plan has it.
import { useEffect, useState } from "preact/hooks";
import { api, upgrade } from "./api.js";
import { Dialog } from "./dialog.js";
import { html } from "./html.js";
import { Icon } from "./icons.js";
import { t } from "./messages.js";
import { events } from "./session.js";

async function checkout(problem, say) {
  try {
    const answer = await api("/api/billing/upgrade", { method: "POST", body: { plan: problem.required_plan }, prompt: false });
    const tab = window.open(answer.checkout_url, "_blank", "noopener");
    if (!tab) say(t("upgrade-opened"));
  } catch (error) {
    say(error.status === 404 ? t("upgrade-no-billing") : error.message);
  }
}

export function UpgradePrompt({ problem }) {
  const [note, say] = useState("");
  return html`<section class="upgrade">
    <${Icon} name="lock" size=${28} />
    <div><p class="upgrade-title">${problem.message}</p>
    <p class="muted">${t("upgrade-plan", { plan: problem.current_plan })}</p>
    <button type="button" class="button primary" onClick=${() => checkout(problem, say)}>${t("upgrade")}</button>
    <p role="status">${note}</p></div>
  </section>`;
}

export function UpgradeDialog() {
  const asked = upgrade.value;
  const [note, say] = useState("");
  useEffect(() => {
    if (!asked) return undefined;
    say("");
    return events("license.changed", () => asked.settle(true));
  }, [asked]);
  if (!asked) return null;
  return html`<${Dialog} title=${t("upgrade-title")} size="small" close=${() => asked.settle(false)}>
    <p>${asked.problem.message}</p>
    <p class="muted">${t("upgrade-waits")}</p>
    <p role="status">${note}</p>
    <div class="dialog-actions">
      <button type="button" class="button" onClick=${() => asked.settle(false)}>${t("not-now")}</button>
      <button type="button" class="button primary" autofocus onClick=${() => checkout(asked.problem, say)}>${t("upgrade")}</button>
    </div>
  </${Dialog}>`;
}
