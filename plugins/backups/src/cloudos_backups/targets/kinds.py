"""The kinds of targets: what each is told by, and how restic reaches it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import quote, urlsplit

from cloudos_sdk import InvalidRequest
from cloudos_sdk.http import Body
from pydantic import Field, StringConstraints, ValidationError, field_validator, model_validator

from cloudos_backups.restic.repository import Repository

Kind = Literal["local", "s3", "sftp", "rest"]
_Text = Annotated[str, StringConstraints(min_length=1, max_length=1000, pattern=r"^[^\x00-\x1f\x7f]+$")]
_Path = Annotated[str, StringConstraints(min_length=1, max_length=1000, pattern=r"^[^\x00-\x1f\x7f]+$")]
_Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}$")]
_Pem = Annotated[str, StringConstraints(max_length=100_000)]


class _Config(Body):
    secret: ClassVar[tuple[str, ...]] = ()
    place: ClassVar[tuple[str, ...]] = ()
    """What says where the backups are: with another value they would be others."""
    encryption: bool = True


class LocalConfig(_Config):
    """A folder of this machine: another disk, or a share that is mounted."""

    place = ("path",)
    path: _Path

    @field_validator("path")
    @classmethod
    def _absolute(cls, value: str) -> str:
        if not value.startswith("/") or ".." in value.split("/") or value.rstrip("/") == "":
            raise ValueError("must be an absolute path without '..'")
        return value.rstrip("/")


class S3Config(_Config):
    """A bucket of any server that speaks S3; without `endpoint` Amazon's."""

    secret = ("secret_key",)
    place = ("bucket", "endpoint", "prefix")
    bucket: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{1,100}$")]
    region: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{0,60}$")] = ""
    access_key: _Text
    secret_key: _Text
    endpoint: str = Field(default="", max_length=300)
    prefix: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._/-]{0,300}$")] = ""
    ca_certificate: _Pem = ""

    @field_validator("endpoint")
    @classmethod
    def _bare(cls, value: str) -> str:
        if value and "://" not in value:
            value = f"https://{value}"
        if value:
            parts = urlsplit(value)
            plain = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc
            if (
                not plain
                or parts.path not in ("", "/")
                or parts.query
                or not re.fullmatch(r"[\w.:\[\]-]+", parts.netloc)
            ):
                raise ValueError("must be the address of a server, such as https://s3.example.com")
        return value.rstrip("/")


class SftpConfig(_Config):
    """A folder of another machine, by SFTP, with a password or a private key without one."""

    secret = ("password", "private_key")
    place = ("host", "path")
    host: _Word
    port: int = Field(default=22, ge=1, le=65535)
    username: _Word
    password: str | None = Field(default=None, min_length=1, max_length=1000)
    private_key: str | None = Field(default=None, min_length=1, max_length=20_000)
    path: _Path
    host_key: Annotated[str, StringConstraints(pattern=r"^(?:[a-z0-9@.-]+ [A-Za-z0-9+/=]+)?$")] = Field(
        default="", max_length=4000
    )

    @model_validator(mode="after")
    def _one_way(self) -> SftpConfig:
        if (self.password is None) == (self.private_key is None):
            raise ValueError("needs either password or private_key")
        return self


class RestConfig(_Config):
    """A REST server of restic's own kind."""

    secret = ("password",)
    place = ("url",)
    url: str = Field(max_length=1000)
    username: str = Field(default="", max_length=200)
    password: str = Field(default="", max_length=1000)
    ca_certificate: _Pem = ""

    @field_validator("url")
    @classmethod
    def _web(cls, value: str) -> str:
        parts = urlsplit(value)
        if (
            parts.scheme not in ("http", "https")
            or not parts.hostname
            or "@" in parts.netloc
            or not value.isprintable()
        ):
            raise ValueError("must be an http or https URL, without name and password in it")
        return value.rstrip("/") + "/"


KINDS: Mapping[str, type[_Config]] = {"local": LocalConfig, "s3": S3Config, "sftp": SftpConfig, "rest": RestConfig}


def read_config(kind: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a target's config says, with its defaults. Raises InvalidRequest that names each field."""
    if given.get("encryption") is False:
        raise InvalidRequest(
            "Backups are always encrypted; there is no other kind. Leave `encryption` out, or say true.",
            code="encryption_required",
            fields=[{"path": "config.encryption", "message": "must be true: backups are always encrypted"}],
        )
    try:
        return KINDS[kind].model_validate(dict(given)).model_dump()
    except ValidationError as error:
        fields = [
            {"path": ".".join(["config", *(str(part) for part in found["loc"])]), "message": _told(found)}
            for found in error.errors(include_url=False, include_input=False, include_context=False)
        ]
        raise InvalidRequest(f"{fields[0]['path']}: {fields[0]['message']}", fields=fields) from None


def _told(found: Any) -> str:
    if found["type"] == "missing":
        return "is required"
    if found["type"] == "extra_forbidden":
        return "is no setting of this type of target"
    return str(found["msg"]).removeprefix("Value error, ")


def repository_of(kind: str, config: Mapping[str, Any], password: str, folder: Path) -> Repository:
    """Return how restic reaches a target. `folder` is one of our own for what it needs as files; see `write_files`."""
    hidden = [str(config[name]) for name in KINDS[kind].secret if config.get(name)]
    if kind == "local":
        return Repository(str(config["path"]), password)
    if kind == "s3":
        server = config["endpoint"] or "https://s3.amazonaws.com"
        url = "/".join(part for part in (f"s3:{server}", config["bucket"], config["prefix"].strip("/")) if part)
        environment = {"AWS_ACCESS_KEY_ID": config["access_key"], "AWS_SECRET_ACCESS_KEY": config["secret_key"]}
        options = [f"s3.region={config['region']}"] if config["region"] else []
        return Repository(url, password, {**environment, **_trusted(config, folder)}, options, hidden)
    if kind == "rest":
        scheme, rest = config["url"].split("://", 1)
        who = (
            f"{quote(config['username'], safe='')}:{quote(config['password'], safe='')}@" if config["username"] else ""
        )
        hidden.append(quote(config["password"], safe="")) if config["password"] else None
        return Repository(f"rest:{scheme}://{who}{rest}", password, _trusted(config, folder), (), hidden)
    path = config["path"] if config["path"].startswith("/") else f"./{config['path']}"
    ssh = [
        *("ssh", "-p", str(config["port"]), "-l", config["username"]),
        *("-o", f"UserKnownHostsFile={folder / 'known_hosts'}", "-o", "GlobalKnownHostsFile=/dev/null"),
        *("-o", f"StrictHostKeyChecking={'yes' if config['host_key'] else 'accept-new'}"),
        *("-o", "ServerAliveInterval=30", "-o", "ServerAliveCountMax=4", "-o", "ConnectTimeout=20"),
        *("-F", "/dev/null"),
    ]
    environment = {}
    if config["private_key"]:
        ssh += ["-i", str(folder / "key"), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes"]
    else:
        ssh += ["-o", "PreferredAuthentications=password,keyboard-interactive", "-o", "NumberOfPasswordPrompts=1"]
        environment = {
            "SSH_ASKPASS": str(folder / "askpass"),
            "SSH_ASKPASS_REQUIRE": "force",
            "CLOUDOS_SFTP_PASSWORD": config["password"],
        }
    words = [*ssh, config["host"], "-s", "sftp"]
    command = " ".join(f'"{word}"' if " " in word else word for word in words)
    url = f"sftp:{config['username']}@{config['host']}:{path}"
    return Repository(url, password, environment, [f"sftp.command={command}"], hidden)


def _trusted(config: Mapping[str, Any], folder: Path) -> dict[str, str]:
    return {"RESTIC_CACERT": str(folder / "ca.pem")} if config.get("ca_certificate") else {}


def write_files(kind: str, config: Mapping[str, Any], folder: Path) -> None:
    """Write what restic and ssh take as files into a folder of mode 0700."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if config.get("ca_certificate"):
        _write(folder / "ca.pem", config["ca_certificate"])
    if kind != "sftp":
        return
    if config["private_key"]:
        _write(folder / "key", config["private_key"].strip() + "\n")
    else:
        _write(folder / "askpass", '#!/bin/sh\nprintf "%s\\n" "$CLOUDOS_SFTP_PASSWORD"\n', 0o700)
    if config["host_key"]:
        host = config["host"] if config["port"] == 22 else f"[{config['host']}]:{config['port']}"
        _write(folder / "known_hosts", f"{host} {config['host_key']}\n")


def _write(path: Path, text: str, mode: int = 0o600) -> None:
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=mode)
    fresh.write_text(text)
    fresh.replace(path)
