// The newest readings, by the one stream that all tabs share, and the last of them for small lines.
import { api, follow } from "cloudos";
import { useEffect, useState } from "preact/hooks";

const KEPT = 60;
// what all widgets need, so that they share one connection
const STREAM = "/api/system/metrics/stream?metric=system.cpu.usage_percent&metric=system.memory.*&metric=system.network.*";
const past = new Map(); // key -> values, so that a line is there at once when one comes back

let seeded = null;

// The last hour from the history, once, so that the small lines do not begin empty.
function seed() {
  seeded ??= api("/api/system/metrics?range=1h&metric=system.cpu.usage_percent&metric=system.network.*", { prompt: false }).then((history) => {
    for (const { metric, labels, mean } of history.series) {
      const key = keyOf(metric, labels);
      past.set(key, [...mean.filter((value) => value !== null), ...(past.get(key) ?? [])].slice(-KEPT));
    }
  }, () => { seeded = null; });
  return seeded;
}

export const keyOf = (metric, labels = {}) => `${metric}${Object.entries(labels).map(([name, value]) => `,${name}=${value}`).join("")}`;

export function useReadings() {
  const [readings, set] = useState(null);
  useEffect(() => { seed(); }, []);
  useEffect(() => follow(STREAM, ({ event, data }) => {
    if (event !== "metrics") return;
    const found = new Map();
    for (const { metric, labels, value } of data.metrics) {
      const key = keyOf(metric, labels);
      found.set(key, { metric, labels, value });
      const values = past.get(key) ?? [];
      if (past.get(`${key}@`) !== data.timestamp) past.set(key, [...values, value].slice(-KEPT));
      past.set(`${key}@`, data.timestamp);
    }
    set(found);
  }), []);
  return readings;
}

export const pastOf = (key) => past.get(key) ?? [];

// Interfaces that are of the machine itself, and not of containers or the loopback.
export const isReal = (name) => !/^(lo|docker|br-|veth|ifb|virbr|tun|tap|wg|cni|flannel|dummy)/.test(name);
