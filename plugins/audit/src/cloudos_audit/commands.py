"""`cloudos audit verify` and `cloudos audit export`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Protocol, TypeVar

import click
from cloudos_sdk import Context
from pydantic import ValidationError

from cloudos_audit.reading import Log
from cloudos_audit.schemas import Filters, Verification
from cloudos_audit.verification import Verifier

T = TypeVar("T")


class Node(Protocol):
    """What the host puts at the click context's `obj`."""

    def run(self, fn: Callable[[Context], Awaitable[T]]) -> T:
        """Run `fn` with this plugin's context."""
        ...


@click.command()
@click.pass_obj
def verify(node: Node) -> None:
    """Verify the audit log; exit 1 where an entry was altered, removed, added or reordered."""

    async def check(ctx: Context) -> Verification:
        return await Verifier.of(ctx).verify()

    outcome = node.run(check)
    if outcome.problem is not None:
        problem = outcome.problem
        raise click.ClickException(f"the audit log does not verify. {problem.sentence} ({problem.kind}: {problem.seq})")
    span = f", from {outcome.first} to {outcome.last}" if outcome.entries else ""
    click.echo(f"The audit log verifies: {outcome.entries} entries{span}.")


@click.command()
@click.option("--since", help="From this time on (ISO 8601; UTC without an offset).")
@click.option("--until", help="Up to, and without, this time.")
@click.pass_obj
def export(node: Node, since: str | None, until: str | None) -> None:
    """Write the audit log to standard output as JSON lines, oldest first."""
    filters = _filters({"since": since, "until": until})

    async def write(ctx: Context) -> None:
        async for lines in Log(ctx.db).export(filters):
            click.echo(lines, nl=False)

    node.run(write)


def _filters(given: dict[str, Any]) -> Filters:
    try:
        return Filters.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        option = f"--{first['loc'][0]}"
        example = datetime(2025, 1, 15, 10, 30).isoformat()  # noqa: DTZ001 - shown, never compared
        raise click.BadParameter(f"{first['msg']}; write it like {example}Z", param_hint=option) from None
