"""The log: structured, to standard error, each line of a request with its id."""

from __future__ import annotations

import importlib
import logging
import sys
import traceback
from collections.abc import MutableMapping
from typing import Any, TextIO

from cloudos_sdk.identity import caller
from cloudos_sdk.lines import one_line

from cloudos_host.config import HostSettings


def _without_rich() -> Any:
    """Import structlog; it loads rich, 100 ms and 5 MB, wherever it is installed, for tracebacks that it renders."""
    here = sys.modules.setdefault("rich", None)  # type: ignore[arg-type] # what makes `import rich` an ImportError
    try:
        return importlib.import_module("structlog")
    finally:
        if here is None:
            del sys.modules["rich"]


structlog = _without_rich()

_MOST_FRAMES = 24
_LONGEST_CRASH = 12_000
_LONGEST_VALUE = 4_000


def logger() -> Any:
    """Return the host's logger."""
    return structlog.get_logger("cloudos")


def configure(settings: HostSettings) -> None:
    """Set level and form of the log, for the whole process."""
    # plain_traceback: the renderer's own shows the values of local variables, and with them secrets
    last: list[Any] = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=_write_crash)]
    if settings.log_format == "json":
        tell = structlog.processors.ExceptionRenderer(lambda crash: told(crash[1]))
        last = [tell, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _add_request_id,
            _on_one_line,
            *last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, settings.log_level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def told(error: BaseException) -> str:
    """Return a traceback for the log, shortened to its innermost frames and causes.

    Frames, causes and what an exception says may all be as many or as long as a request likes.
    """
    parts = traceback.TracebackException.from_exception(
        error, limit=-_MOST_FRAMES, max_group_width=5, max_group_depth=3
    )
    text = "".join(parts.format()).rstrip("\n")
    if len(text) > _LONGEST_CRASH:
        half = _LONGEST_CRASH // 2
        text = f"{text[:half]}\n… {len(text) - 2 * half} characters are left out …\n{text[-half:]}"
    return text


def _write_crash(sio: TextIO, crash: Any) -> None:
    sio.write("\n" + told(crash[1]))


def _on_one_line(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Let nothing that was sent to us end a line of the log or begin one, nor fill it."""
    for name, value in event.items():
        if isinstance(value, str) and name not in ("exception", "stack"):
            event[name] = one_line(value[:_LONGEST_VALUE])
    return event


def _add_request_id(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if (request_id := caller().request_id) is not None:
        event.setdefault("request_id", request_id)
    return event
