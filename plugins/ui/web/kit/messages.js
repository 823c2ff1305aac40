// Messages in Fluent: `t("apps-count", {count: 3})`. English is whole and within; other languages lie over it.
import { FluentBundle, FluentResource } from "@fluent/bundle";
import { signal } from "@preact/signals";
import english from "../locales/en.ftl";

export const languages = { en: "English", de: "Deutsch", zh: "中文" };
export const language = signal(chosen());

// How numbers and times are written: as the browser's owner is used to, in the chosen language.
export function locale() {
  return navigator.languages?.find((tag) => tag.toLowerCase().startsWith(language.value)) ?? language.value;
}

const bundles = { en: make("en", english) };
const loaded = new Set();

function make(locale, text) {
  const bundle = new FluentBundle(locale, { useIsolating: false });
  bundle.addResource(new FluentResource(text), { allowOverrides: true });
  return bundle;
}

function chosen() {
  let wanted = null;
  try {
    wanted = localStorage.getItem("cloudos.language");
  } catch {
    // the browser's language, then
  }
  const known = (tag) => Object.keys(languages).find((each) => tag?.toLowerCase().startsWith(each));
  return known(wanted) ?? navigator.languages?.map(known).find(Boolean) ?? "en";
}

export function t(id, values, fallback) {
  for (const locale of language.value === "en" ? ["en"] : [language.value, "en"]) {
    const message = bundles[locale]?.getMessage(id);
    if (message?.value) return bundles[locale].formatPattern(message.value, values ?? null, []);
  }
  return fallback ?? id;
}

// Load the chosen language of the shell; called before the first paint, and at a change.
export async function loadLanguage(tag = language.value) {
  const files = JSON.parse(document.getElementById("app").dataset.locales);
  if (tag !== "en" && files[tag] && !loaded.has(files[tag])) {
    loaded.add(files[tag]);
    await add(tag, files[tag]);
  }
  document.documentElement.lang = tag;
}

// Load a plugin's own messages: `en` and the chosen language, from `locales/` of its folder.
export async function loadMessages(base, available) {
  const wanted = ["en", language.value].filter((tag, place, all) => available.includes(tag) && all.indexOf(tag) === place);
  await Promise.all(wanted.map((tag) => {
    const url = `${base}locales/${tag}.ftl`;
    if (loaded.has(url)) return null;
    loaded.add(url);
    return add(tag, url);
  }));
}

async function add(tag, url) {
  try {
    const answer = await fetch(url);
    if (!answer.ok) return;
    const text = await answer.text();
    if (bundles[tag]) bundles[tag].addResource(new FluentResource(text), { allowOverrides: true });
    else bundles[tag] = make(tag, text);
  } catch {
    loaded.delete(url);
  }
}

export async function choose(tag) {
  try {
    localStorage.setItem("cloudos.language", tag);
  } catch {
    // holds until the page is loaded again
  }
  await loadLanguage(tag);
  language.value = tag;
}
