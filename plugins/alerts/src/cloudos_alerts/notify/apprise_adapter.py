"""The adapter to Apprise: makes a service of a configuration and sends by it. All of it blocks: call it in a thread."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qs, quote, urlsplit

from cloudos_alerts import channel_types as types
from cloudos_alerts.channel_types import ChannelConfig, scrubbed
from cloudos_alerts.notify.response_capture import listening

if TYPE_CHECKING:
    from apprise import AppriseAsset, NotifyBase

Made = tuple[Callable[..., Any], dict[str, Any]]
"""A class of Apprise and what it is made with."""

_LONGEST_REASON = 300
_TIMEOUTS = {"cto": 5.0, "rto": 10.0}
_SLOW, _SLOW_FAILURE = 5.0, 3.0
_FILES = frozenset({"attach", "keyfile", "pgpprv", "pgppub", "subfile", "template"})
"""Arguments of services that name a file to read, or an address to read it from."""
_LEVELS = {"info": "info", "warning": "warning", "critical": "failure", "resolved": "success"}


class UnfitConfig(Exception):
    """A configuration of which Apprise can make nothing."""


@dataclass(frozen=True)
class Message:
    """A notification; `level` is info, warning, critical or resolved."""

    title: str
    body: str
    level: str


@dataclass(frozen=True)
class SendResult:
    """The outcome of sending; `status` and `response` are the receiver's own."""

    delivered: bool
    status: int | None
    response: str | None
    reason: str | None
    slow: bool = False
    """Whether it took so long, or waited in vain for so long, that others are to be served before it."""


def check(config: ChannelConfig) -> None:
    """Make the service and send nothing. Raises UnfitConfig."""
    _service(config)


def send(config: ChannelConfig, message: Message) -> SendResult:
    """Send a message, once; its title as one line, which a header of a mail is."""
    try:
        service = _service(config)
    except UnfitConfig as error:
        return SendResult(False, None, None, str(error))
    from apprise import Apprise

    begun = time.monotonic()
    with listening() as heard:
        try:
            result: Any = Apprise([service], asset=service.asset, log_level=logging.DEBUG).notify(
                body=_printable(message.body),
                title=_printable(" ".join(message.title.split())),
                notify_type=_LEVELS[message.level],
                body_format="text",
            )
            delivered, said = bool(result), [(entry.level, entry.message) for entry in result.logs()]
        except Exception as error:  # noqa: BLE001 - a service of Apprise that crashes has failed to deliver
            delivered, said = False, [("ERROR", f"{type(error).__name__}: {error}")]
    status, response = heard.verdict()
    reason = None if delivered else _reason(said, heard.trouble)
    # a service whose reading timed out has failed like any other for Apprise: the time that it took tells them apart
    slow = time.monotonic() - begun >= (_SLOW if delivered else _SLOW_FAILURE)
    return SendResult(delivered, status, _clean(response, config), _clean(reason, config), slow)


def _printable(text: str) -> str:
    """Return a text without control characters but the ends of its lines; a name may have any."""
    return "".join(c for c in text if c.isprintable() or c in "\n\t\u200d")


def _clean(text: str | None, config: ChannelConfig) -> str | None:
    return None if text is None else scrubbed(text, config)


def _reason(said: list[tuple[str, str]], trouble: str | None) -> str:
    """Return the reason of a failure from Apprise's warnings and socket errors, not its debug output with secrets."""
    parts = [text for level, text in said if level in ("WARNING", "ERROR", "CRITICAL")]
    parts += [text.partition(": ")[2] for _, text in said if text.startswith("Socket Exception: ")]
    if trouble is not None and trouble not in parts:
        parts.append(trouble)
    return " ".join(dict.fromkeys(parts))[:_LONGEST_REASON] or "The service did not take it."


def _service(config: ChannelConfig) -> NotifyBase:
    try:
        kind, arguments = _MAKERS[type(config)](config)
        service: NotifyBase | None = kind(asset=_asset(), **_TIMEOUTS, **arguments)
    except UnfitConfig:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a service of Apprise makes of it, it cannot be used
        raise UnfitConfig(scrubbed(f"Apprise cannot use this: {error}", config)) from None
    if service is None:
        raise UnfitConfig("Apprise knows no service of this URL, or something of it is missing.")
    if _method(service) not in ("POST", "PUT"):
        raise UnfitConfig("A message is sent by POST or PUT; another method would read what answers there.")
    return service


def _method(service: NotifyBase) -> str:
    """Return the HTTP method of those services that have a choice."""
    from apprise.plugins.custom_form import NotifyForm
    from apprise.plugins.custom_json import NotifyJSON
    from apprise.plugins.custom_xml import NotifyXML

    return str(service.method) if isinstance(service, NotifyForm | NotifyJSON | NotifyXML) else "POST"


def _hush() -> None:
    """Silence Apprise's log, which repeats tokens."""
    log = logging.getLogger("apprise")
    log.propagate = False
    log.setLevel(logging.DEBUG)


def _asset() -> AppriseAsset:
    _hush()
    from apprise import AppriseAsset
    from apprise.manager_attachment import AttachmentManager

    # as an attachment Apprise reads each file and address that an argument names: it is to know no kind of them
    kinds: Any = cast("Any", AttachmentManager)()
    kinds.remove(*kinds.schemas(), unload=False)
    # redirects are not followed: what is secret in a request goes where it was meant to, or nowhere. Without a time of
    # its own Apprise sends in the thread that asks, not in a few that all share: those a silent far side would hold.
    return AppriseAsset(
        app_id="Cloud OS",
        app_desc="Cloud OS alerts",
        app_url="",
        image_url_mask="",
        image_url_logo="",
        async_mode=False,
        http_redirects=False,
        service_timeout=0.0,
        pgp_autogen=False,
        pem_autogen=False,
    )


def _place(url: str) -> dict[str, Any]:
    """Return a server's URL as Apprise takes it: name and password stay quoted."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    path = parts.path if parts.path.endswith("/") else f"{parts.path}/"
    found: dict[str, Any] = {"host": f"[{host}]" if ":" in host else host, "secure": parts.scheme == "https"}
    if parts.username is not None:
        found |= {"user": parts.username, "password": parts.password or ""}
    return found | {"port": parts.port, "fullpath": path}


def _quoted(text: str | None) -> str | None:
    """Return a user or password quoted for a URL."""
    return None if text is None else quote(text, safe="")


def _slack(config: types.Slack) -> Made:
    from apprise.plugins.slack import NotifySlack

    token_a, token_b, token_c = urlsplit(config.webhook_url).path.strip("/").split("/")[1:]
    return NotifySlack, dict(token_a=token_a, token_b=token_b, token_c=token_c, include_image=False)


def _discord(config: types.Discord) -> Made:
    from apprise.plugins.discord import NotifyDiscord

    webhook_id, token = urlsplit(config.webhook_url).path.strip("/").split("/")[-2:]
    return NotifyDiscord, dict(webhook_id=webhook_id, webhook_token=token, avatar=False, footer_logo=False)


def _email(config: types.Email) -> Made:
    from apprise.plugins.email import NotifyEmail

    mode = {"starttls": "starttls", "tls": "ssl", "none": "insecure"}[config.security]
    return NotifyEmail, dict(
        smtp_host=config.host.strip("[]"),
        host=config.sender.rsplit("@", 1)[1],
        port=config.port,
        secure_mode=mode,
        secure=mode != "insecure",
        user=_quoted(config.username),
        password=_quoted(config.password),
        from_addr=config.sender,
        targets=list(config.to),
    )


def _telegram(config: types.Telegram) -> Made:
    from apprise.plugins.telegram import NotifyTelegram

    return NotifyTelegram, dict(bot_token=config.bot_token, targets=[config.chat_id], detect_owner=False)


def _ntfy(config: types.Ntfy) -> Made:
    from apprise.plugins.ntfy import NotifyNtfy

    place = _place(config.server)
    if config.username is not None:
        place |= {"user": _quoted(config.username), "password": _quoted(config.password)}
    auth = {"auth": "token", "token": config.token} if config.token is not None else {}
    return NotifyNtfy, dict(targets=[config.topic], mode="private", include_image=False, **place, **auth)


def _gotify(config: types.Gotify) -> Made:
    from apprise.plugins.gotify import NotifyGotify

    return NotifyGotify, dict(token=config.token, **_place(config.server))


def _pushover(config: types.Pushover) -> Made:
    from apprise.plugins.pushover import NotifyPushover

    return NotifyPushover, dict(user_key=config.user_key, token=config.api_token, targets=list(config.devices))


def _matrix(config: types.Matrix) -> Made:
    from apprise.plugins.matrix import NotifyMatrix

    place = {**_place(config.homeserver), "password": _quoted(config.access_token)}
    # without a user the password is an access token; encrypted rooms would need a store of keys
    return NotifyMatrix, dict(targets=[config.room], mode="off", discovery=False, e2ee=False, **place)


def _teams(config: types.Teams) -> Made:
    from apprise.plugins.workflows import NotifyWorkflows

    parts = urlsplit(config.webhook_url)
    query, segments = parse_qs(parts.query), parts.path.strip("/").split("/")
    direct = "powerautomate" in segments
    return NotifyWorkflows, dict(
        host=parts.hostname,
        port=parts.port,
        secure=True,
        workflow=segments[segments.index("workflows", segments.index("direct") if direct else 0) + 1],
        signature=query["sig"][0],
        power_automate=direct,
        routing_id=segments[segments.index("cu") + 1] if "cu" in segments else None,
        version=query.get("api-version", [None])[0],
        include_image=False,
    )


def _webhook(config: types.WebhookChannel) -> Made:
    from apprise.plugins.custom_json import NotifyJSON

    parts, place = urlsplit(config.url), _place(config.url)
    place["fullpath"] = parts.path or "/"
    params = {key: values[-1] for key, values in parse_qs(parts.query, keep_blank_values=True).items()}
    return NotifyJSON, dict(headers=dict(config.headers), method=config.method, params=params, **place)


def _any(config: types.AnyApprise) -> Made:
    return _of_url, {"url": config.url}


def _of_url(url: str, asset: AppriseAsset, **_: Any) -> NotifyBase | None:
    from apprise import Apprise
    from apprise.plugins import url_to_dict

    read: dict[str, Any] | None = cast("Any", url_to_dict)(url, secure_logging=True)
    if read is None:
        return None
    if named := {*read, *read.get("qsd", {})} & _FILES:
        raise UnfitConfig(f"{', '.join(sorted(named))} would read files of this machine, or what an address answers.")
    return Apprise.instantiate(read, asset=asset, suppress_exceptions=False)


_MAKERS: Mapping[type[ChannelConfig], Callable[[Any], Made]] = {
    types.Slack: _slack,
    types.Discord: _discord,
    types.Email: _email,
    types.Telegram: _telegram,
    types.Ntfy: _ntfy,
    types.Gotify: _gotify,
    types.Pushover: _pushover,
    types.Matrix: _matrix,
    types.Teams: _teams,
    types.WebhookChannel: _webhook,
    types.AnyApprise: _any,
}
