// The shell: who is there decides what is shown — the first run, the sign-in, or the frame with its pages.
import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { signal } from "@preact/signals";
import { api } from "./kit/api.js";
import { html } from "./kit/html.js";
import { loadLanguage, t, language } from "./kit/messages.js";
import { startRouting } from "./kit/route.js";
import { csrfToken, signedOut, startWorker, user } from "./kit/session.js";
import { Failure } from "./kit/states.js";
import { contributions, loadContributions } from "./shell/contribution.js";
import { Frame } from "./shell/frame.js";
import { Door, FirstRun, SignIn } from "./shell/sign_in.js";

const stage = signal({ name: "starting" });

async function enter() {
  const me = await api("/api/auth/me");
  await loadContributions();
  user.value = me;
  signedOut.value = false;
  stage.value = { name: "inside" };
}

async function start() {
  try {
    if (csrfToken()) {
      try {
        return await enter();
      } catch (error) {
        if (![401, 403].includes(error.status)) throw error;
      }
    }
    const state = await api("/api/auth/setup");
    stage.value = state.needed ? { name: "first-run", state } : { name: "sign-in" };
  } catch (error) {
    stage.value = { name: "trouble", error };
  }
}

function App() {
  language.value; // everything is written anew in another language
  const { name, state, error } = stage.value;
  if (name === "inside" && user.value && contributions.value) return html`<${Frame} enter=${enter} leave=${() => (stage.value = { name: "sign-in" })} />`;
  if (name === "first-run") return html`<${FirstRun} state=${state} done=${enter} />`;
  if (name === "sign-in") return html`<${SignIn} done=${enter} />`;
  if (name === "trouble") return html`<${Trouble} error=${error} />`;
  return null;
}

function Trouble({ error }) {
  const [tries, again] = useState(0);
  useEffect(() => {
    const timer = setTimeout(() => { again(tries + 1); start(); }, Math.min(10000, 1500 * 2 ** tries));
    return () => clearTimeout(timer);
  }, [tries]);
  return html`<${Door} title=${t("trouble")}><${Failure} error=${error} retry=${start} /></${Door}>`;
}

const box = document.getElementById("app");
startWorker();
startRouting();
loadLanguage().finally(() => {
  render(html`<${App} />`, box);
  start();
});
