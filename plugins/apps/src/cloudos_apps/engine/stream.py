"""Answers of the engine that are read piece by piece: pulls, and logs."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from cloudos_apps.engine.log_lines import newest

_LOG_BYTES, _LOG_SECONDS = 64_000_000, 20  # what is read of a log for one answer; the engine keeps 30 MB of it


def open_pull(client: Any, image: str) -> Any:
    """Begin a pull whose connection can be closed, which the package's own cannot."""
    from docker import auth
    from docker.types import CancellableStream

    repository, mark, tag = image.partition("@")
    if not mark:
        repository, _, tag = image.rpartition(":")
    header = auth.get_config_header(client, auth.resolve_repository_name(repository)[0])
    response = client.post(
        f"{client.base_url}/v{client.api_version}/images/create",
        params={"fromImage": repository, "tag": tag},
        headers={"X-Registry-Auth": header} if header else {},
        stream=True,
        timeout=None,
    )
    check_answer(response)
    return CancellableStream((orjson.loads(line) for line in response.iter_lines() if line), response)


def open_logs(client: Any, container: str, tail: int, since: int | None) -> Any:
    """Follow a log, from its newest lines on."""
    extra = {"since": since} if since else {}
    return client.logs(container, stream=True, follow=True, timestamps=True, tail=tail, **extra)


def newest_lines(client: Any, container: str, tail: int, extra: Mapping[str, Any]) -> list[tuple[bytes, int]]:
    """Read the end of a log piece by piece, so that no line of it is ever whole in memory."""
    response = client.get(
        f"{client.base_url}/v{client.api_version}/containers/{container}/logs",
        params={"stdout": 1, "stderr": 1, "timestamps": 1, "tail": tail, **extra},
        stream=True,
        timeout=_LOG_SECONDS,
    )
    with contextlib.closing(response):
        check_answer(response)
        return newest(_pieces(response.raw), tail)


def _pieces(raw: Any) -> Iterator[bytes]:
    """Yield the payloads of a log's frames, each after a header of 8 bytes (Engine API, "Attach")."""
    taken, end = 0, time.monotonic() + _LOG_SECONDS
    while taken < _LOG_BYTES and time.monotonic() < end and len(head := raw.read(8)) == 8:
        length = int.from_bytes(head[4:])
        while length and (piece := raw.read(min(length, 65536))):
            taken, length = taken + len(piece), length - len(piece)
            yield piece


def check_answer(response: Any) -> None:
    """Raise the engine's error for an answer that is one."""
    import docker.errors

    if response.status_code >= 400:
        with contextlib.suppress(ValueError, KeyError):
            raise docker.errors.APIError("refused", response, response.json()["message"])
        response.raise_for_status()
