// The contract with pages, version 1: what a plugin's module may import from "cloudos". Names are added, never changed.
export { html } from "../kit/html.js";
export { api, ApiError, isUpgradeError } from "../kit/api.js";
export { can, events, follow, online, permissions, resumed, user } from "../kit/session.js";
export { language, t } from "../kit/messages.js";
export { ago, bytes, duration, member, number, percent, time } from "../kit/format.js";
export { blockLeaving, navigate, route } from "../kit/route.js";
export { useResource } from "../kit/resource.js";
export { Icon } from "../kit/icons.js";
export { Copyable, Empty, Failure, Loading, PageHead, Resource, State, Tile, Time } from "../kit/states.js";
export { Table } from "../kit/table.js";
export { SchemaForm } from "../kit/form.js";
export { confirm, Dialog, showOnce } from "../kit/dialog.js";
export { attempt, toast } from "../kit/toast.js";
export { Progress, useOperation } from "../kit/progress.js";
export { UpgradePrompt } from "../kit/upgrade.js";
export { Chart, Meter, Sparkline } from "../kit/chart.js";
export { Slot } from "../shell/contribution.js";
export const version = 1;
