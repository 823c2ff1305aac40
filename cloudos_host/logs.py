"""The log: structured, to standard error, each line of a request with its id."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import MutableMapping
from typing import Any

from cloudos_sdk.identity import caller

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


def logger() -> Any:
    """Return the host's logger."""
    return structlog.get_logger("cloudos")


def configure(settings: HostSettings) -> None:
    """Set level and form of the log, for the whole process."""
    # plain_traceback: the renderer's own shows the values of local variables, and with them secrets
    plain = structlog.dev.plain_traceback
    last: list[Any] = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
    if settings.log_format == "json":
        last = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _add_request_id,
            *last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, settings.log_level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _add_request_id(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if (request_id := caller().request_id) is not None:
        event.setdefault("request_id", request_id)
    return event
