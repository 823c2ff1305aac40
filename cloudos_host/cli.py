"""The command line: `cloudos serve`, `plugins`, `doctor`, `db`, `openapi`, and the commands of the plugins."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from cloudos_host import __version__
from cloudos_host.config import Config, ConfigError, load
from cloudos_host.discovery import Found, discover
from cloudos_host.private import MASK


def _placed(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say which node is meant."""
    command = click.option("--config", "config_file", type=click.Path(path_type=Path), help="TOML file of settings.")(
        command
    )
    return click.option("--data-dir", type=click.Path(path_type=Path), help="Folder of everything the node keeps.")(
        command
    )


class _Cloudos(click.Group):
    """The host's own commands, and `cloudos <id> …` of each plugin, imported only when asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), *sorted(group.name or "" for group in _plugin_groups(discover()))]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        own = super().get_command(ctx, name)
        if own is not None:
            return own
        found = discover()
        groups = _plugin_groups([f for f in found if f.id == name]) + _plugin_groups([f for f in found if f.id != name])
        return next((group for group in groups if group.name == name), None)


def _plugin_groups(plugins: list[Found]) -> list[click.Group]:
    import importlib

    groups = []
    for found in plugins:
        try:
            module = importlib.import_module(found.target)
            commands = list(module.cloudos_commands()) if hasattr(module, "cloudos_commands") else []
            name = module.manifest.command or found.id
        except (Exception, SystemExit) as error:  # noqa: BLE001 - plugin code; the other commands go on
            click.echo(f"cloudos: the commands of {found.id} cannot be loaded: {error}", err=True)
            continue
        if commands:
            groups.append(_plugin_group(found, name, module.manifest.title, commands))
    return groups


def _plugin_group(found: Found, name: str, title: str, commands: list[click.Command]) -> click.Group:
    @click.group(name, help=f"{title}.")
    @_placed
    @click.pass_context
    def group(ctx: click.Context, data_dir: Path | None, config_file: Path | None) -> None:
        from cloudos_host.offline import PluginCommands

        ctx.obj = PluginCommands(_config(config_file, data_dir=data_dir), found)

    for command in commands:
        group.add_command(command)
    return group


@click.group(cls=_Cloudos)
@click.version_option(__version__)
def cli() -> None:
    """Cloud OS: a server operating system whose every feature is a plugin."""


def main() -> None:
    """Run the command line; what stops it is one line on standard error and exit 1."""
    from cloudos_sdk import DatabaseUnavailable
    from sqlalchemy.exc import SQLAlchemyError

    from cloudos_host.database_failure import refusal
    from cloudos_host.migrating import MigrationError
    from cloudos_host.node import HostError

    gc.freeze()
    gc.enable()
    os.umask(MASK)  # whatever a plugin or a program that we start writes is for the node alone
    try:
        cli()
    except (HostError, ConfigError, MigrationError) as error:
        click.echo(f"cloudos: {error}", err=True)
        sys.exit(1)
    except (DatabaseUnavailable, SQLAlchemyError) as error:
        if (refused := refusal(error)) is None:
            raise
        click.echo(f"cloudos: {refused.message}", err=True)
        sys.exit(1)


@cli.command()
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=int, help="Port to listen on.")
@_placed
@click.option("--safe", is_flag=True, help="Start the required plugins only.")
def serve(host: str | None, port: int | None, data_dir: Path | None, config_file: Path | None, safe: bool) -> None:
    """Serve the API."""
    gc.disable()  # until all is imported, since what is imported stays; `run` enables it
    import uvloop

    from cloudos_host.serving import run

    uvloop.run(run(_config(config_file, host=host, port=port, data_dir=data_dir), safe))


@cli.group(invoke_without_command=True)
@click.pass_context
def plugins(ctx: click.Context) -> None:
    """List the installed plugins, without importing any; enable one again."""
    if ctx.invoked_subcommand is not None:
        return
    for found in discover():
        click.echo(f"{found.id:16} {found.distribution} {found.version}{'  ' + found.error if found.error else ''}")


@plugins.command()
@click.argument("plugin_id", metavar="ID")
@_placed
def enable(plugin_id: str, data_dir: Path | None, config_file: Path | None) -> None:
    """Have the next start try a plugin again in whose start the host died twice."""
    from cloudos_host.startup_crash_log import forget_crashes

    config = _config(config_file, data_dir=data_dir)
    if plugin_id not in [found.id for found in discover()]:
        raise ConfigError(f"there is no plugin {plugin_id!r}; `cloudos plugins` lists those that are installed")
    if forget_crashes(config.host.data_dir, plugin_id):
        click.echo(f"{plugin_id} is tried again at the next start")
    elif plugin_id in config.host.disabled:
        raise ConfigError(f"{plugin_id!r} is disabled by the settings; take it out of host.disabled")
    else:
        click.echo(f"{plugin_id} is not disabled")


@cli.command()
@_placed
def doctor(data_dir: Path | None, config_file: Path | None) -> None:
    """Look for what the node and its plugins need; exit 1 where something is wrong."""
    from cloudos_host import maintenance

    findings = asyncio.run(maintenance.diagnose(_config(config_file, data_dir=data_dir)))
    for finding in findings:
        mark = "ok  " if finding.ok else "note" if finding.optional else "FAIL"
        click.echo(f"{mark} {finding.subject}: {finding.detail}")
        if not finding.ok and finding.remedy:
            click.echo(f"     to mend it: {finding.remedy}")
    if not all(finding.ok or finding.optional for finding in findings):
        sys.exit(1)


@cli.group()
def db() -> None:
    """Look at the database's revisions, and upgrade it."""


@db.command()
@_placed
def status(data_dir: Path | None, config_file: Path | None) -> None:
    """Show the revision of each plugin's tables."""
    from cloudos_host import maintenance, offline

    host, ladder = offline.examine(_config(config_file, data_dir=data_dir))
    ladder.load()
    host.open()
    for id, current, pending in maintenance.revisions(host):
        click.echo(f"{id:16} {current or '-':8} {'up to date' if not pending else 'to come: ' + ', '.join(pending)}")


@db.command()
@_placed
def upgrade(data_dir: Path | None, config_file: Path | None) -> None:
    """Bring all tables up to date; a snapshot is taken first."""
    from cloudos_host import maintenance

    problems = maintenance.upgrade(_config(config_file, data_dir=data_dir))
    for problem in problems:
        click.echo(problem, err=True)
    sys.exit(1 if problems else 0)


@cli.command()
@_placed
def openapi(data_dir: Path | None, config_file: Path | None) -> None:
    """Print the OpenAPI document of the installed plugins."""
    import orjson

    from cloudos_host import maintenance

    document = maintenance.openapi(_config(config_file, data_dir=data_dir))
    click.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2))


def _config(path: Path | None, **overrides: object) -> Config:
    return load(path, os.environ, overrides)
