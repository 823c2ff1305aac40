// Numbers, sizes and times as a person reads them, in the chosen language.
import { locale, t } from "./messages.js";

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"];

export function number(value, digits = 0) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  return new Intl.NumberFormat(locale(), { maximumFractionDigits: digits }).format(value);
}

export function bytes(value) {
  if (value === null || value === undefined) return "–";
  let unit = 0;
  let left = Math.abs(value);
  while (left >= 1000 && unit < UNITS.length - 1) { left /= 1000; unit += 1; }
  return `${number(Math.sign(value) * left, left < 10 && unit ? 1 : 0)} ${UNITS[unit]}`;
}

export function percent(value) {
  return value === null || value === undefined ? "–" : `${number(value, value < 10 ? 1 : 0)} %`;
}

export function time(value) {
  if (!value) return "–";
  return new Intl.DateTimeFormat(locale(), { dateStyle: "medium", timeStyle: "short" }).format(new Date(value));
}

// A mark on the axis of time: the hour, or the day where marks are a day apart.
export function tick(seconds, step) {
  return new Intl.DateTimeFormat(locale(), step >= 86400 ? { day: "numeric", month: "short" } : { hour: "2-digit", minute: "2-digit" }).format(new Date(seconds * 1000));
}

const STEPS = [["year", 31536000], ["month", 2592000], ["day", 86400], ["hour", 3600], ["minute", 60]];

export function ago(value, now = Date.now()) {
  if (!value) return t("never");
  const seconds = (new Date(value).getTime() - now) / 1000;
  const form = new Intl.RelativeTimeFormat(locale(), { numeric: "auto" });
  for (const [unit, size] of STEPS) if (Math.abs(seconds) >= size) return form.format(Math.round(seconds / size), unit);
  return t("just-now");
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const days = Math.floor(seconds / 86400);
  const hours = Math.floor((seconds % 86400) / 3600);
  const minutes = Math.floor((seconds % 3600) / 60);
  const part = (value, unit) => new Intl.NumberFormat(locale(), { style: "unit", unit, unitDisplay: "narrow" }).format(value);
  if (days) return `${part(days, "day")} ${part(hours, "hour")}`;
  if (hours) return `${part(hours, "hour")} ${part(minutes, "minute")}`;
  return part(minutes, "minute");
}

// The member at `a.b.c`.
export function member(object, path) {
  return path.split(".").reduce((found, key) => found?.[key], object);
}
