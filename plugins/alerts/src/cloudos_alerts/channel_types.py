"""The `config` of each channel type: validation, and display without secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from cloudos_sdk.http import Body
from pydantic import AfterValidator, Field, StringConstraints, ValidationInfo, field_validator

HIDDEN = "***"
_SHORTEST_SECRET = 4

Text = Annotated[str, StringConstraints(min_length=1, max_length=2000, strip_whitespace=True)]
Token = Annotated[str, StringConstraints(pattern=r"^\S+$", max_length=500)]
Address = Annotated[str, StringConstraints(pattern=r"^[^@\s<>,;]+@[^@\s<>,;]+$", max_length=254)]


def _http(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or re.search(r"\s", url):
        raise ValueError("not an http or https URL")
    return url


Url = Annotated[str, StringConstraints(min_length=1, max_length=2000), AfterValidator(_http)]


class ChannelConfig(Body):
    """Base of channel configurations: `hidden` are secret fields, `place` the fields that name the target."""

    hidden: ClassVar[frozenset[str]] = frozenset()
    place: ClassVar[tuple[str, ...]] = ()
    own_login: ClassVar[str | None] = None
    """The members for what else would stand before the `@` of a URL, where there are such."""

    def shown(self) -> dict[str, Any]:
        """Return it as the API shows it."""
        return {name: self._shown(name, value) for name, value in self.model_dump(exclude_none=True).items()}

    def _shown(self, name: str, value: Any) -> Any:
        if name not in self.hidden:
            return _without_login(value) if isinstance(value, str) else value
        if isinstance(value, dict):
            return dict.fromkeys(value, HIDDEN)
        scheme, mark, rest = str(value).partition("://")
        if not mark:
            return HIDDEN
        netloc = re.split(r"[/?#]", rest, maxsplit=1)[0] if scheme in ("http", "https") else ""
        host = netloc.rpartition("@")[2]
        return f"{scheme}://{host}/{HIDDEN}" if host else f"{scheme}://{HIDDEN}"

    def fault(self) -> tuple[str, str] | None:
        """Return the invalid field and the reason, or None; configurations stored earlier are exempt."""
        for name, value in self.model_dump(exclude_none=True).items():
            if name in self.hidden:
                many = isinstance(value, dict)
                texts = {f"{name}.{key}": text for key, text in value.items()} if many else {name: value}
                for path, text in texts.items():
                    if text == HIDDEN or (text.endswith(HIDDEN) and "://" in text):
                        return path, f"give its value: {HIDDEN} stands for what is hidden, and here nothing is"
            elif isinstance(value, str) and (login := _login(value)):
                if self.own_login is not None:
                    return name, f"leave out what stands before the @: it is shown to others; use {self.own_login}"
                if HIDDEN in login:
                    return name, f"give it again as a whole: {HIDDEN} stands for what is hidden"
        return None

    def secrets(self) -> list[str]:
        """Return every text that must not be shown, the longest first."""
        found: set[str] = set()
        for text in self.model_dump(exclude_none=True).values():
            if isinstance(text, str) and (login := _login(text)):
                found |= {login, *login.split(":", 1)}
        for name in self.hidden:
            value = getattr(self, name)
            for text in value.values() if isinstance(value, dict) else [value]:
                if text is not None:
                    found |= {str(text), *_parts(str(text))}
        return sorted((text for text in found if len(text) >= _SHORTEST_SECRET), key=len, reverse=True)


def _login(text: str) -> str:
    """Return the user and password of a URL, or an empty text."""
    rest = text.partition("://")[2]
    return re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[0]


def _without_login(text: str) -> str:
    """Return a URL without its name and password, and without its query, in which a token may be; else the text."""
    scheme, mark, rest = text.partition("://")
    if not mark:
        return text
    if login := _login(text):
        rest = HIDDEN + rest[len(login) :]
    before, cut, _ = rest.partition("?")
    return f"{scheme}://{before}?{HIDDEN}" if cut else f"{scheme}://{rest}"


def _parts(text: str) -> set[str]:
    """Return the parts of a URL that an error message may repeat: path, query, password and long segments."""
    if "://" not in text:
        return set()
    try:
        parts = urlsplit(text)
    except ValueError:
        return set()
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    # of a URL of Apprise anything may be a token, also where another one has its host
    open_part = path if parts.scheme in ("http", "https") else text.partition("://")[2]
    segments = {segment for segment in re.split(r"[/?&=:@]", open_part) if len(segment) >= 2 * _SHORTEST_SECRET}
    return {path, parts.path, parts.username or "", parts.password or ""} | segments


class Slack(ChannelConfig):
    """An incoming webhook of Slack (`https://hooks.slack.com/services/…`)."""

    hidden = frozenset({"webhook_url"})
    webhook_url: Annotated[Url, Field(pattern=r"^https://hooks\.slack\.com/services/[A-Za-z0-9]+(/[A-Za-z0-9]+){2}/?$")]


class Discord(ChannelConfig):
    """A webhook of a Discord channel."""

    hidden = frozenset({"webhook_url"})
    webhook_url: Annotated[
        Url, Field(pattern=r"^https://(?:\w+\.)?discord(?:app)?\.com/api/webhooks/[0-9]+/[A-Za-z0-9_-]+/?$")
    ]


class Email(ChannelConfig):
    """Mail by an SMTP server; `port` defaults by `security`."""

    hidden = frozenset({"password"})
    place = ("host", "port", "security")
    host: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:\[\]-]+$", max_length=253)]
    port: int | None = Field(default=None, ge=1, le=65535)
    security: Literal["starttls", "tls", "none"] = "starttls"
    username: Text | None = None
    password: Text | None = Field(default=None, validate_default=True)
    sender: Address = Field(alias="from")
    to: list[Address] = Field(min_length=1, max_length=50)

    def shown(self) -> dict[str, Any]:
        """Return it as the API shows it, `from` by its own name."""
        shown = super().shown()
        shown["from"] = shown.pop("sender")
        return shown

    @field_validator("password")
    @classmethod
    def _with_username(cls, password: str | None, info: ValidationInfo) -> str | None:
        if (password is None) != (info.data.get("username") is None):
            raise ValueError("username and password go together")
        return password


class Telegram(ChannelConfig):
    """A bot of Telegram that writes to a chat; `chat_id` is a number or `@name`."""

    hidden = frozenset({"bot_token"})
    bot_token: Annotated[Token, Field(pattern=r"^[0-9]+:[A-Za-z0-9_-]+$")]
    chat_id: Annotated[str, Field(pattern=r"^(-?[0-9]{1,32}|@?[A-Za-z_][A-Za-z0-9_-]*)$")]


class Ntfy(ChannelConfig):
    """A topic of an ntfy server, optionally with a token, or user and password.

    On a server for everybody whoever knows the topic reads and writes it: it is as secret as a password.
    """

    hidden = frozenset({"topic", "token", "password"})
    place = ("server",)
    own_login = "username and password"
    server: Url = "https://ntfy.sh"
    topic: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    token: Token | None = None
    username: Text | None = None
    password: Text | None = None


class Gotify(ChannelConfig):
    """An application of a Gotify server."""

    hidden = frozenset({"token"})
    place = ("server",)
    server: Url
    token: Token


class Pushover(ChannelConfig):
    """A user or group of Pushover; `devices` narrows it."""

    hidden = frozenset({"user_key", "api_token"})
    user_key: Annotated[Token, Field(pattern=r"^[A-Za-z0-9]+$")]
    api_token: Annotated[Token, Field(pattern=r"^[A-Za-z0-9]+$")]
    devices: list[Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,25}$")]] = Field(default_factory=list, max_length=50)


class Matrix(ChannelConfig):
    """A room of a Matrix homeserver, by an access token of an account that is in it."""

    hidden = frozenset({"access_token"})
    place = ("homeserver",)
    own_login = "access_token"
    homeserver: Url
    room: Annotated[str, Field(pattern=r"^[!#][^\s]{1,255}$")]
    access_token: Token


class Teams(ChannelConfig):
    """A workflow of Microsoft Teams (`…/workflows/…/triggers/manual/paths/invoke?…`)."""

    hidden = frozenset({"webhook_url"})
    webhook_url: Annotated[
        Url,
        Field(pattern=r"^https://[^/]+/.*workflows/[A-Za-z0-9_-]+/triggers/manual/paths/invoke/?\?(.*&)?sig=[^&]+"),
    ]


HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$")]
HeaderValue = Annotated[str, Field(pattern=r"^[\x20-\x7e]{0,2000}$")]


class WebhookChannel(ChannelConfig):
    """Any URL that takes JSON: `{"version", "title", "message", "attachments", "type"}`."""

    hidden = frozenset({"url", "headers"})
    place = ("url",)
    url: Url
    method: Literal["POST", "PUT"] = "POST"
    headers: dict[HeaderName, HeaderValue] = Field(default_factory=dict, max_length=20)


class AnyApprise(ChannelConfig):
    """Any service of Apprise, by URL; forbidden targets are checked on Apprise's parsed form."""

    hidden = frozenset({"url"})
    url: Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9.+-]*://\S+$", max_length=2000)]


TYPES: Mapping[str, type[ChannelConfig]] = {
    "slack": Slack,
    "discord": Discord,
    "email": Email,
    "telegram": Telegram,
    "ntfy": Ntfy,
    "gotify": Gotify,
    "pushover": Pushover,
    "matrix": Matrix,
    "teams": Teams,
    "webhook": WebhookChannel,
    "apprise": AnyApprise,
}
ChannelType = Literal[
    "slack", "discord", "email", "telegram", "ntfy", "gotify", "pushover", "matrix", "teams", "webhook", "apprise"
]


def scrubbed(text: str, config: ChannelConfig) -> str:
    """Return a text without the secrets of a configuration."""
    for secret in config.secrets():
        text = text.replace(secret, HIDDEN)
    return text
