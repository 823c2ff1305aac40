"""What the `config` of each type of channel holds, checked member by member, and how it is shown without secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import parse_qsl, urlsplit

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


class Config(Body):
    """Base of the configurations: `hidden` are the members that are secret."""

    hidden: ClassVar[frozenset[str]] = frozenset()

    def shown(self) -> dict[str, Any]:
        """Return it as the API shows it."""
        return {name: self._shown(name, value) for name, value in self.model_dump(exclude_none=True).items()}

    def _shown(self, name: str, value: Any) -> Any:
        if name not in self.hidden:
            return value
        if isinstance(value, dict):
            return dict.fromkeys(value, HIDDEN)
        scheme, mark, rest = str(value).partition("://")
        if not mark:
            return HIDDEN
        host = re.split(r"[/?#]", rest.rsplit("@", 1)[-1], maxsplit=1)[0] if scheme in ("http", "https") else ""
        return f"{scheme}://{host}/{HIDDEN}" if host else f"{scheme}://{HIDDEN}"

    def secrets(self) -> list[str]:
        """Return every text that must not be shown, the longest first."""
        found: set[str] = set()
        for name in self.hidden:
            value = getattr(self, name)
            for text in value.values() if isinstance(value, dict) else [value]:
                if text is not None:
                    found |= {str(text), *_parts(str(text))}
        return sorted((text for text in found if len(text) >= _SHORTEST_SECRET), key=len, reverse=True)


def _parts(text: str) -> set[str]:
    """Return what of a URL a message may repeat: its path and query, its password, its longer segments."""
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
    return {path, parts.path, parts.password or ""} | segments


class Slack(Config):
    """An incoming webhook of Slack (`https://hooks.slack.com/services/…`)."""

    hidden = frozenset({"webhook_url"})
    webhook_url: Annotated[Url, Field(pattern=r"^https://hooks\.slack\.com/services/[A-Za-z0-9]+(/[A-Za-z0-9]+){2}/?$")]


class Discord(Config):
    """A webhook of a Discord channel."""

    hidden = frozenset({"webhook_url"})
    webhook_url: Annotated[
        Url, Field(pattern=r"^https://(?:\w+\.)?discord(?:app)?\.com/api/webhooks/[0-9]+/[A-Za-z0-9_-]+/?$")
    ]


class Email(Config):
    """Mail by an SMTP server; `port` follows from `security` where it is not given."""

    hidden = frozenset({"password"})
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


class Telegram(Config):
    """A bot of Telegram that writes to a chat; `chat_id` is a number or `@name`."""

    hidden = frozenset({"bot_token"})
    bot_token: Annotated[Token, Field(pattern=r"^[0-9]+:[A-Za-z0-9_-]+$")]
    chat_id: Annotated[str, Field(pattern=r"^(-?[0-9]{1,32}|@?[A-Za-z_][A-Za-z0-9_-]*)$")]


class Ntfy(Config):
    """A topic of an ntfy server, with a token or a name and password where it wants them."""

    hidden = frozenset({"token", "password"})
    server: Url = "https://ntfy.sh"
    topic: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    token: Token | None = None
    username: Text | None = None
    password: Text | None = None


class Gotify(Config):
    """An application of a Gotify server."""

    hidden = frozenset({"token"})
    server: Url
    token: Token


class Pushover(Config):
    """A user or group of Pushover; `devices` narrows it."""

    hidden = frozenset({"user_key", "api_token"})
    user_key: Annotated[Token, Field(pattern=r"^[A-Za-z0-9]+$")]
    api_token: Annotated[Token, Field(pattern=r"^[A-Za-z0-9]+$")]
    devices: list[Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,25}$")]] = Field(default_factory=list, max_length=50)


class Matrix(Config):
    """A room of a Matrix homeserver, by an access token of an account that is in it."""

    hidden = frozenset({"access_token"})
    homeserver: Url
    room: Annotated[str, Field(pattern=r"^[!#][^\s]{1,255}$")]
    access_token: Token


class Teams(Config):
    """A workflow of Microsoft Teams that posts what it receives (`…/workflows/…/triggers/manual/paths/invoke?…`)."""

    hidden = frozenset({"webhook_url"})
    webhook_url: Annotated[
        Url,
        Field(pattern=r"^https://[^/]+/.*workflows/[A-Za-z0-9_-]+/triggers/manual/paths/invoke/?\?(.*&)?sig=[^&]+"),
    ]


HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$")]
HeaderValue = Annotated[str, Field(pattern=r"^[\x20-\x7e]{0,2000}$")]


class Webhook(Config):
    """Any URL that takes JSON: `{"version", "title", "message", "attachments", "type"}`."""

    hidden = frozenset({"url", "headers"})
    url: Url
    method: Literal["POST", "PUT"] = "POST"
    headers: dict[HeaderName, HeaderValue] = Field(default_factory=dict, max_length=20)


_FILES = frozenset({"attach", "keyfile", "pgpprv", "pgppub", "subfile", "template"})


class AnyApprise(Config):
    """Any service that Apprise knows, by its URL."""

    hidden = frozenset({"url"})
    url: Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9.+-]*://\S+$", max_length=2000)]

    @field_validator("url")
    @classmethod
    def _without_files(cls, url: str) -> str:
        named = {name.lower() for name, _ in parse_qsl(url.partition("?")[2], keep_blank_values=True)} & _FILES
        if named:
            raise ValueError(f"{', '.join(sorted(named))} would read files of this machine")
        return url


TYPES: Mapping[str, type[Config]] = {
    "slack": Slack,
    "discord": Discord,
    "email": Email,
    "telegram": Telegram,
    "ntfy": Ntfy,
    "gotify": Gotify,
    "pushover": Pushover,
    "matrix": Matrix,
    "teams": Teams,
    "webhook": Webhook,
    "apprise": AnyApprise,
}
ChannelType = Literal[
    "slack", "discord", "email", "telegram", "ntfy", "gotify", "pushover", "matrix", "teams", "webhook", "apprise"
]


def kept(given: Mapping[str, Any], before: Config) -> dict[str, Any]:
    """Return a configuration as given back, with what is hidden in it as it was before."""
    shown, stored = before.shown(), before.model_dump(by_alias=True, exclude_none=True)
    merged = dict(given)
    for name, value in given.items():
        if name not in before.hidden or name not in stored:
            continue
        if isinstance(value, dict):
            merged[name] = {key: stored[name].get(key, v) if v == HIDDEN else v for key, v in value.items()}
        elif value == shown[name]:
            merged[name] = stored[name]
    return merged


def scrubbed(text: str, config: Config) -> str:
    """Return a text without the secrets of a configuration."""
    for secret in config.secrets():
        text = text.replace(secret, HIDDEN)
    return text
