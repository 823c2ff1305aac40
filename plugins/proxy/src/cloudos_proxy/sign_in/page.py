"""The sign-in page of the node, for browsers that come from a gated route: one file, no one else's scripts or fonts."""

from __future__ import annotations

import base64
import hashlib
from html import escape

_STYLE = """
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; background: Canvas; color: CanvasText; }
main { width: min(22rem, 90vw); }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; }
p { margin: 0 0 1rem; overflow-wrap: anywhere; }
label { display: block; margin: .75rem 0 .25rem; font-weight: 600; }
input, button { box-sizing: border-box; width: 100%; padding: .6rem; font: inherit; border-radius: .4rem; }
input { border: 1px solid GrayText; background: Field; color: FieldText; }
button { margin-top: 1.25rem; border: 0; background: #1d4ed8; color: #fff; font-weight: 600; cursor: pointer; }
button:disabled { opacity: .6; }
:focus-visible { outline: 3px solid #f59e0b; outline-offset: 2px; }
[role=alert] { min-height: 1.5rem; margin-top: 1rem; color: light-dark(#b91c1c, #fca5a5); }
"""
_SCRIPT = """
const form = document.querySelector("form"), problem = document.querySelector("[role=alert]");
const button = form.querySelector("button:not([type])"), code = form.elements.code;
const onward = document.getElementById("onward");
let waiting = null;

// What the cookies are worth nothing without; the storage of a page is its own port's.
const kept = "cloudos.csrf_token";
const here = new URL(location.href);

async function send(path, body, token) {
  const answer = await fetch(path, {method: "POST", credentials: "same-origin", body: JSON.stringify(body),
    headers: {"Content-Type": "application/json", ...(token ? {"X-CSRF-Token": token} : {})}});
  return [answer.ok, await answer.json().catch(() => ({}))];
}
async function goOn(token) {
  localStorage.setItem(kept, token);
  const asked = {to: here.searchParams.get("to"), state: here.searchParams.get("state")};
  const [ok, answer] = await send("/api/proxy/handover", asked, token);
  if (ok) location.replace(answer.location);
  return ok ? "" : answer.message || "That did not work. Try again.";
}
async function signIn() {
  if (waiting) return send("/api/auth/totp/verify", {temp_token: waiting, code: code.value.trim(), cookie: true});
  const [username, password] = [form.elements.username.value, form.elements.password.value];
  return send("/api/auth/login", {username, password, cookie: true});
}
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  button.disabled = true;
  problem.textContent = "";
  try {
    const [ok, answer] = await signIn();
    if (!ok) problem.textContent = answer.message || "That did not work. Try again.";
    else if (answer.totp_required) {
      waiting = answer.temp_token;
      document.getElementById("first").hidden = true;
      document.getElementById("second").hidden = false;
      for (const name of ["username", "password"]) form.elements[name].required = false;
      code.required = true;
      code.focus();
    } else problem.textContent = await goOn(answer.csrf_token);
  } catch { problem.textContent = "The node does not answer. Try again."; }
  button.disabled = false;
});
async function resume() {  // whoever is signed in at the node goes on without a password
  const token = localStorage.getItem(kept);
  if (!token || here.searchParams.has("again")) return;
  if ("ask" in form.dataset) {  // for the name stands nobody but an operator: a link alone hands nothing over
    onward.hidden = false;
    onward.addEventListener("click", () => proceed(token).catch(() => {}));
  } else await proceed(token);
}
async function proceed(token) {
  if (!(await goOn(token))) return;
  const [ok, fresh] = await send("/api/auth/refresh", {}, token);
  if (ok) await goOn(fresh.csrf_token);
}
resume().catch(() => {});
"""
_FORM = """<p>to go on to <strong>{where}</strong></p>
<form method="post"{ask}>
<button id="onward" type="button" hidden>Go on as who is signed in here</button>
<div id="first">
<label for="username">User name</label>
<input id="username" name="username" autocomplete="username" autocapitalize="none" required autofocus>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required>
</div>
<div id="second" hidden>
<label for="code">Code of your second factor</label>
<input id="code" name="code" autocomplete="one-time-code" autocapitalize="none" spellcheck="false">
</div>
<button>Sign in</button>
<p role="alert" aria-live="assertive"></p>
</form>
<noscript><p>Signing in needs JavaScript.</p></noscript>
<script>{script}</script>"""
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>{style}</style></head>
<body><main><h1>{title}</h1>
{body}
</main></body></html>
"""


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


_POLICY = (
    f"default-src 'none'; style-src {_hash(_STYLE)}; script-src {_hash(_SCRIPT)}; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
PAGE_HEADERS = (
    ("Content-Type", "text/html; charset=utf-8"),
    ("Content-Security-Policy", _POLICY),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
)


def sign_in_page(where: str, *, ask: bool) -> bytes:
    """Return the sign-in page that redirects to `where`; with `ask` only after a click, also with a session."""
    form = _FORM.format(where=escape(where), script=_SCRIPT, ask=" data-ask" if ask else "")
    return _page("Sign in", form)


def refusal_page(name: str, sign_in: str) -> bytes:
    """Return the page for a role that is not admitted, with a link to sign in as another user."""
    told = f"<p>You are signed in as <strong>{escape(name)}</strong>, whose role may not open this.</p>"
    return _page("Not allowed", f'{told}<p><a href="{escape(sign_in)}">Sign in as somebody else</a></p>')


def problem_page(title: str, message: str) -> bytes:
    """Return a page with an error message."""
    return _page(title, f"<p>{escape(message)}</p>")


def _page(title: str, body: str) -> bytes:
    return _PAGE.format(title=escape(title), style=_STYLE, body=body).encode()
