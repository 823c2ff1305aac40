// Where a browser opens an app: on the host that the browser is on, where the app listens on all or this machine alone.
export function addressOf(app) {
  if (!app.addr) return null;
  const place = app.addr.lastIndexOf(":");
  const host = app.addr.slice(0, place);
  const own = ["127.0.0.1", "0.0.0.0", "localhost", "[::]", "[::1]", "::", "::1"].includes(host);
  return `http://${own ? location.hostname : host}:${app.addr.slice(place + 1)}/`;
}
