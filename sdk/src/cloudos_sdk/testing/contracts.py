"""Contract checks of capabilities. Each raises AssertionError naming the broken promise.

async def test_our_apps_keep_the_contract(cloudos):
    host = await cloudos("apps")
    await check_apps(host.ctx("apps").use(Apps))
"""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence

from cloudos_sdk import Forbidden, Permission, Principal, Role, Unauthenticated
from cloudos_sdk.capabilities import (
    Apps,
    Authenticator,
    BearerAuthenticator,
    ControlPanelLink,
    Credentials,
    Metric,
    Metrics,
    MetricSource,
    OwnProxy,
    PermissionCatalogue,
    PlanSource,
    PluginCatalogue,
    Sample,
    Sessions,
    Users,
)
from cloudos_sdk.plans import PLANS
from cloudos_sdk.testing.app_data_contract import check_app_data as check_app_data
from cloudos_sdk.testing.app_data_contract import check_backup_source as check_backup_source
from cloudos_sdk.testing.mcp_contract import check_mcp_source as check_mcp_source
from cloudos_sdk.testing.memory_contract import check_embedder as check_embedder
from cloudos_sdk.testing.memory_contract import check_recall as check_recall
from cloudos_sdk.testing.note_contract import check_note_store as check_note_store

_CODE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_METRIC = re.compile(r"[a-z][a-z0-9]*([._][a-z0-9]+)+")
_PERMISSION = re.compile(r"[a-z][a-z0-9_-]*:(read|write)")
_BAD_HEADERS = (
    "",
    "Bearer",
    "Bearer ",
    "Bearer x",
    "Bearer a.b.c",
    "Basic eDp5",
    "Bearer \x00",
    "Bearer " + "a" * 5000,
)


async def check_authenticator(
    authenticator: Authenticator,
    *,
    authorization: str,
    revoke: Callable[[], Awaitable[object]] | None = None,
    cookies: Mapping[str, str] | None = None,
) -> None:
    """Check an authenticator with an `Authorization` header that holds.

    `revoke` is to end what the header stands for: afterwards it must hold no longer, neither in memory nor
    else. `cookies` are those of a browser's session, which must not do for an unsafe method by themselves.
    """
    assert await authenticator.authenticate(_credentials(None)) is None, "no credentials at all is None, not an error"
    for header in _BAD_HEADERS:
        assert authenticator.recognise(header) is None, f"{header[:20]!r} was recognised"
        code = await _refusal(authenticator, _credentials(header))
        assert code is not None, f"{header[:20]!r} was let in"
        assert _CODE.fullmatch(code), f"the code {code!r} is not snake_case"
    principal = await authenticator.authenticate(_credentials(authorization))
    assert isinstance(principal, Principal), "a header that holds gives a Principal"
    assert principal.id and principal.user_id and principal.name, "a principal has id, user_id and name"
    assert isinstance(principal.role, Role), f"{principal.role!r} is not a Role"
    assert authenticator.recognise(authorization) == principal, "what was verified is known from memory"
    if cookies is not None:
        await _check_cookies(authenticator, cookies)
    if revoke is not None:
        await revoke()
        assert authenticator.recognise(authorization) is None, "what was revoked is still recognised"
        assert await _refusal(authenticator, _credentials(authorization)) is not None, "what was revoked was let in"


async def check_bearer_authenticator(
    authenticator: BearerAuthenticator,
    *,
    authorization: str,
    revoke: Callable[[], Awaitable[object]] | None = None,
) -> None:
    """Check an authenticator of one family of bearers with a header that holds until `revoke`."""
    assert authorization.startswith(f"Bearer {authenticator.prefix}"), "its bearers begin with its prefix"
    for header in (*_BAD_HEADERS, f"Bearer {authenticator.prefix}", f"Bearer {authenticator.prefix}{'x' * 32}"):
        assert authenticator.recognise(header) is None, f"{header[:20]!r} was recognised"
        assert await _refused_bearer(authenticator, header), f"{header[:20]!r} was let in"
    principal = await authenticator.authenticate(authorization, "127.0.0.1")
    assert principal.id and principal.user_id and principal.name, "a principal has id, user_id and name"
    assert principal.scopes is not None, "who comes with a bearer of a family may do what its scopes say"
    assert authenticator.recognise(authorization) == principal, "what was verified is known from memory"
    if revoke is not None:
        await revoke()
        assert authenticator.recognise(authorization) is None, "what was revoked is still recognised"
        assert await _refused_bearer(authenticator, authorization), "what was revoked was let in"


async def check_sessions(sessions: Sessions, *, session_id: str, revoke: Callable[[], Awaitable[object]]) -> None:
    """Check the sessions with one that holds until `revoke`."""
    for other in ("", "ses_thereisnone", session_id + "x"):
        assert sessions.person(other) is None, f"{other!r} is somebody's"
    person = sessions.person(session_id)
    assert person is not None and person.kind == "user" and person.session_id == session_id, f"{person!r}"
    await revoke()
    assert sessions.person(session_id) is None, "a session that was revoked is still somebody's"


async def check_users(users: Users, *, user_id: str, disable: Callable[[], Awaitable[object]]) -> None:
    """Check the users with one that may sign in until `disable`."""
    for other in ("", "usr_thereisnone", user_id + "x"):
        assert users.find(other) is None, f"{other!r} is somebody"
    person = users.find(user_id)
    assert person is not None and person.kind == "user" and person.user_id == user_id, f"{person!r}"
    assert person.session_id is None and person.scopes is None, "a user is found without a session"
    told: list[tuple[str, bool]] = []
    end = users.watch(lambda changed: told.append((changed, users.find(changed) is None)))
    await disable()
    assert (user_id, True) in told, "a change is told once it is in force"
    end()
    assert users.find(user_id) is None, "a disabled user may do nothing"


async def check_own_proxy(proxy: OwnProxy) -> None:
    """Check an own proxy: it rejects requests that only claim to come through it."""
    for headers in (
        {},
        {"X-Forwarded-For": "203.0.113.7", "X-Real-IP": "203.0.113.7", "Forwarded": "for=203.0.113.7"},
        {"X-Cloudos-Proxy": "", "X-Cloudos-Visitor": "203.0.113.7"},
        {"X-Cloudos-Proxy": "\xff" * 64, "X-Cloudos-Visitor": "203.0.113.7"},
    ):
        assert proxy.visitor(headers.get) is None, f"{sorted(headers)} were believed"


async def check_apps(apps: Apps) -> None:
    """Check a provider of the installed apps, whatever apps it has now."""
    listed = await apps.list_apps()
    assert len({app.id for app in listed}) == len(listed), "two apps have one id"
    assert len({app.name for app in listed}) == len(listed), "two apps have one name"
    for app in listed:
        assert app.id and app.name and app.status, f"{app!r} lacks its id, name or status"
        assert await apps.find_app(app.id) == app, f"{app.id} is found otherwise than it is listed"
        if app.addr is not None:
            host, _, port = app.addr.rpartition(":")
            assert host and port.isdigit() and 0 < int(port) < 65536, f"{app.addr!r} is not host:port"
    assert await apps.find_app("app_thereisnone") is None, "an app that is not there is None"
    assert await apps.find_app("") is None, "an empty id is None"


async def check_permission_catalogue(catalogue: PermissionCatalogue) -> None:
    """Check a catalogue of permissions."""
    permissions = catalogue.permissions()
    for name, permission in permissions.items():
        assert isinstance(permission, Permission), f"{permission!r} is not a Permission"
        assert name == permission.name, f"{permission.name} is listed as {name}"
        assert _PERMISSION.fullmatch(name), f"{name!r} is not <area>:read or <area>:write"
        assert permission.title and isinstance(permission.role, Role), f"{name} lacks its title or role"
        reading = permissions.get(name.replace(":write", ":read"))
        if reading is not None:
            assert permission.role.includes(reading.role), f"{name} is had by roles that may not read"


async def check_plugin_catalogue(catalogue: PluginCatalogue) -> None:
    """Check a catalogue of plugins."""
    running = catalogue.running()
    assert len({plugin.id for plugin in running}) == len(running), "a plugin is listed twice"
    for plugin in running:
        assert plugin.id and plugin.version and plugin.manifest.title, f"{plugin!r} lacks its id, version or title"
        for prefix in plugin.manifest.prefixes:
            assert catalogue.owned(prefix), f"{prefix} of {plugin.id} is nobody's"
    assert not catalogue.owned("/nobody/has/this"), "a path that nobody has is owned"


async def check_plan_source(source: PlanSource) -> None:
    """Check a source of the plan."""
    for _ in range(2):
        plan = source.current_plan()
        assert plan in PLANS, f"{plan!r} is none of {', '.join(PLANS)}"


async def check_control_panel_link(link: ControlPanelLink) -> None:
    """Check a link to the Control Panel."""
    assert isinstance(link.connected(), bool), "connected() is True or False"


async def check_metric_source(source: MetricSource) -> None:
    """Check a metric source: it returns samples of the metrics that it declares."""
    known = _by_name(source.metrics())
    _check_samples(await source.sample(), known)


async def check_metrics(metrics: Metrics) -> None:
    """Check a reader of everything that is measured. Waits for the next tick, so the clock must go on."""
    known = _by_name(metrics.metrics())
    latest = metrics.latest()
    if latest is not None:
        _check_samples(latest.samples, known)
    ticks = metrics.ticks()
    tick = await anext(ticks)
    assert tick.time.tzinfo is not None, "a tick's time has its zone"
    assert latest is None or tick.time > latest.time, "a tick is newer than the one before"
    _check_samples(tick.samples, known)
    newest = metrics.latest()
    assert newest is not None and newest.time >= tick.time, "the latest tick is the newest that was seen"


def _by_name(metrics: Sequence[Metric]) -> dict[str, Metric]:
    known = {metric.name: metric for metric in metrics}
    assert len(known) == len(metrics), "two metrics have one name"
    for metric in metrics:
        assert _METRIC.fullmatch(metric.name), f"{metric.name!r} is not <area>.<what is measured>"
        assert metric.unit and metric.help, f"{metric.name} lacks its unit or its sentence"
    return known


def _check_samples(samples: Sequence[Sample], known: Mapping[str, Metric]) -> None:
    series = [(sample.name, sample.labels) for sample in samples]
    assert len(set(series)) == len(series), "a series has two values at one time"
    for sample in samples:
        assert sample.name in known, f"{sample.name} is sampled and not declared"
        labels = tuple(name for name, _ in sample.labels)
        assert labels == tuple(sorted(known[sample.name].labels)), f"{sample.name} has the labels {labels}"
        assert math.isfinite(sample.value), f"{sample.name} is {sample.value}"


def _credentials(
    authorization: str | None, method: str = "GET", cookies: Mapping[str, str] | None = None
) -> Credentials:
    return Credentials(method, authorization, cookies or {}, None, "127.0.0.1")


async def _refusal(authenticator: Authenticator, credentials: Credentials) -> str | None:
    try:
        await authenticator.authenticate(credentials)
    except Unauthenticated as error:
        return error.code
    return None


async def _refused_bearer(authenticator: BearerAuthenticator, authorization: str) -> bool:
    try:
        await authenticator.authenticate(authorization, "127.0.0.1")
    except Unauthenticated:
        return True
    return False


async def _check_cookies(authenticator: Authenticator, cookies: Mapping[str, str]) -> None:
    reading = await authenticator.authenticate(_credentials(None, "GET", cookies))
    assert isinstance(reading, Principal), "a session's cookie holds for a safe method"
    try:
        await authenticator.authenticate(_credentials(None, "POST", cookies))
    except Forbidden as error:
        assert error.code == "csrf_failed", f"the refusal is {error.code!r}, not csrf_failed"
    else:
        raise AssertionError("a cookie did for an unsafe method without its CSRF token")
