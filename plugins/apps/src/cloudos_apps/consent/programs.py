"""The programs of an app as rights, so that another program or publisher needs new consent."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator
from typing import get_args

from cloudos_apps.consent.rights import Danger, RequestedRight
from cloudos_apps.display_text import printable
from cloudos_apps.templates.model.template import Service, Template

_GRAVE = [danger for danger in get_args(Danger) if danger != "low_ports"]  # the gravest first
_LONGEST_SHOWN = 120


def program_rights(template: Template, origin: str, asked: Collection[RequestedRight]) -> set[RequestedRight]:
    """Return a template's programs and origin as rights, if it requests rights that only an admin may allow.

    All its services count: one may write what another one, which has the right, runs.
    """
    dangers = {right.danger for right in asked}
    grave = next((danger for danger in _GRAVE if danger in dangers), None)
    if grave is None:
        return set()
    texts = [f"source:{origin}", *(text for service in template.services for text in _of_service(service))]
    return {RequestedRight(text, grave) for text in texts}


def _of_service(service: Service) -> Iterator[str]:
    yield f"{service.name}:image:{repository(service.image)}"
    yield f"{service.name}:command:{_shown(service)}:{_digest(service)}"


def repository(image: str) -> str:
    """Return an image's name without its tag and digest: a new version is the same program."""
    folder, slash, name = image.partition("@")[0].rpartition("/")
    return f"{folder}{slash}{name.partition(':')[0]}"


def _shown(service: Service) -> str:
    """Return the beginning of a container's command in one line, for the admin who decides."""
    if service.entrypoint is None and service.command is None:
        return "of the image"
    words = [*(service.entrypoint or ()), *(service.command or ())]
    text = printable(json.dumps(words))
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def _digest(service: Service) -> str:
    """Return a hash of all settings that decide what a container runs besides its image.

    Variables are among it (a shell runs `BASH_ENV`), and what lies over the image's own files. It is stored: a change
    of what goes in here asks every admin again.
    """
    parts: dict[str, object] = {
        "entrypoint": service.entrypoint,
        "command": service.command,
        "user": service.user,
        "environment": service.environment,
        "healthcheck": service.healthcheck and service.healthcheck.test,
        "volumes": sorted((v.path, v.name or "", v.name is not None and v.read_only) for v in service.volumes),
    }
    if service.dump is not None:
        parts["dump"] = (service.dump.command, service.dump.restore)
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
