"""`cloudos audit verify` and `cloudos audit export`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Protocol, TypeVar

import click
from cloudos_sdk import Context, InvalidRequest
from pydantic import ValidationError

from cloudos_audit.external_seal import Position
from cloudos_audit.queries import AuditQueries
from cloudos_audit.schemas import Filters, Verification
from cloudos_audit.verification import Verifier

T = TypeVar("T")


class CommandNode(Protocol):
    """The click context's `obj`, set by the host."""

    def run(self, fn: Callable[[Context], Awaitable[T]]) -> T:
        """Run `fn` with this plugin's context."""
        ...


@click.command()
@click.option("--number", type=click.IntRange(1), help="Number of an entry that was noted elsewhere.")
@click.option("--hash", help="The hash that was noted with it.")
@click.pass_obj
def verify(node: CommandNode, number: int | None, hash: str | None) -> None:
    """Verify the audit log; exit code 1 if an entry was altered, removed, added or reordered."""
    if (number is None) != (hash is None):
        raise click.UsageError("--number and --hash go together")

    async def check(ctx: Context) -> Verification:
        verifier = Verifier.of(ctx)
        outcome = await verifier.verify()
        if number is None or hash is None:
            return outcome
        try:
            return await verifier.expect(outcome, Position(number, hash))
        except InvalidRequest as error:
            raise click.UsageError(error.message) from None

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
def export(node: CommandNode, since: str | None, until: str | None) -> None:
    """Write the audit log to standard output as JSON lines, oldest first."""
    filters = _filters({"since": since, "until": until})

    async def write(ctx: Context) -> None:
        async for lines in AuditQueries(ctx.db).export(filters):
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
