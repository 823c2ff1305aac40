"""The commands `cloudos backups …`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click
from cloudos_sdk import CloudOSError

from cloudos_backups.restore.node_restore import restore_node


@click.command()
@click.option(
    "--target",
    required=True,
    type=click.Path(exists=True, path_type=Path),
    help="Folder with the backups, or a file with type and config of another target, as JSON.",
)
@click.option("--recovery-key", help="The key that was shown when the target was made; asked for without it.")
@click.option(
    "--data-dir", required=True, type=click.Path(path_type=Path), help="Folder that the node is restored into."
)
@click.option("--restic", type=click.Path(exists=True, path_type=Path), help="restic to run; the one on PATH without.")
def restore(target: Path, recovery_key: str | None, data_dir: Path, restic: Path | None) -> None:
    """Restore a whole node on a machine that has nothing of it."""
    typed = recovery_key or click.prompt("Recovery key", hide_input=True)
    try:
        done = asyncio.run(restore_node(target, typed, data_dir.absolute(), restic))
    except CloudOSError as error:
        raise click.ClickException(error.message) from None
    click.echo(f"The node of {done.made_at:%Y-%m-%d %H:%M} is in {data_dir}.")
    if done.dump is not None:
        click.echo(f"Its database was PostgreSQL: read {done.dump} into an empty database (psql -f), name that in")
        click.echo("host.database_url, and remove the file.")
    click.echo(f"Start it (cloudos serve --data-dir {data_dir}), and restore its apps: POST /api/backups/adopt with")
    click.echo("the same target finds their newest backups.")
