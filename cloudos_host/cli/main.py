"""The command line: `cloudos serve`, `plugins`, `doctor`, `db`, `openapi`, and the commands of the plugins."""

from __future__ import annotations

import asyncio
import copy
import gc
import os
import sys
from pathlib import Path
from typing import Any

import click

from cloudos_host import __version__
from cloudos_host.config import Config, ConfigError, load
from cloudos_host.data.file_modes import MASK
from cloudos_host.plugins.discovery import DiscoveredPlugin, discover

_PLACE = "cloudos_host.place"


def _note_place(ctx: click.Context, option: click.Parameter, value: Path | None) -> None:
    if value is not None:
        ctx.meta.setdefault(_PLACE, {})[option.name] = value


def _place_options() -> list[click.Parameter]:
    common: dict[str, Any] = {
        "type": click.Path(path_type=Path),
        "expose_value": False,
        "callback": _note_place,
    }
    return [
        click.Option(["--data-dir"], help="Folder of everything the node keeps.", **common),
        click.Option(["--config"], help="TOML file of settings.", **common),
    ]


def _placed(command: click.Command) -> click.Command:
    """Return a command, and those below it, with the options that say which node is meant; the last given holds."""
    placed = copy.copy(command)
    own = {name for parameter in command.params for name in parameter.opts}
    placed.params = [*command.params, *(option for option in _place_options() if own.isdisjoint(option.opts))]
    if isinstance(placed, click.Group):
        placed.commands = {name: _placed(below) for name, below in placed.commands.items()}
    return placed


class _Cloudos(click.Group):
    """The host's own commands, and `cloudos <id> …` of each plugin, imported only when asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), *sorted(group.name or "" for group in _plugin_groups(discover()))]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        own = super().get_command(ctx, name)
        if own is not None:
            return _placed(own)
        found = discover()
        groups = _plugin_groups([f for f in found if f.id == name]) + _plugin_groups([f for f in found if f.id != name])
        return next((_placed(group) for group in groups if group.name == name), None)


def _plugin_groups(plugins: list[DiscoveredPlugin]) -> list[click.Group]:
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


def _plugin_group(found: DiscoveredPlugin, name: str, title: str, commands: list[click.Command]) -> click.Group:
    @click.group(name, help=f"{title}.")
    @click.pass_context
    def group(ctx: click.Context) -> None:
        from cloudos_host.cli.cli_context import PluginCommands

        ctx.obj = PluginCommands(_config, found)

    for command in commands:
        group.add_command(command)
    return group


@click.group(cls=_Cloudos, params=_place_options())
@click.version_option(__version__)
def cli() -> None:
    """Cloud OS: a server operating system whose every feature is a plugin."""


def main() -> None:
    """Run the command line; an error is one line on standard error and exit code 1."""
    from cloudos_sdk import DatabaseUnavailable
    from sqlalchemy.exc import SQLAlchemyError

    from cloudos_host.data.database_failure import refusal
    from cloudos_host.data.schema_upgrade import MigrationError
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
@click.option("--safe", is_flag=True, help="Start the required plugins only.")
def serve(host: str | None, port: int | None, safe: bool) -> None:
    """Serve the API."""
    gc.disable()  # until all is imported, since what is imported stays; `run` enables it
    import uvloop

    from cloudos_host.cli.server import run

    uvloop.run(run(_config(host=host, port=port), safe))


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
def enable(plugin_id: str) -> None:
    """Have the next start try a plugin again in whose start the host crashed twice."""
    from cloudos_host.plugins.startup_crash_log import forget_crashes

    config = _config()
    if plugin_id not in [found.id for found in discover()]:
        raise ConfigError(f"there is no plugin {plugin_id!r}; `cloudos plugins` lists those that are installed")
    if forget_crashes(config.host.data_dir, plugin_id):
        click.echo(f"{plugin_id} is tried again at the next start")
    elif plugin_id in config.host.disabled:
        raise ConfigError(f"{plugin_id!r} is disabled by the settings; take it out of host.disabled")
    else:
        click.echo(f"{plugin_id} is not disabled")


@cli.command()
def doctor() -> None:
    """Check the node and its plugins; exit code 1 if something is wrong."""
    from cloudos_host.cli import doctor

    findings = asyncio.run(doctor.diagnose(_config()))
    for finding in findings:
        mark = "ok  " if finding.ok else "note" if finding.optional else "FAIL"
        click.echo(f"{mark} {finding.subject}: {finding.detail}")
        if not finding.ok and finding.remedy:
            click.echo(f"     fix: {finding.remedy}")
    if not all(finding.ok or finding.optional for finding in findings):
        sys.exit(1)


@cli.group()
def service() -> None:
    """Have the node start with the machine, as a systemd service."""


@service.command("install")
@click.option("--lan", is_flag=True, help="Listen on all addresses of the machine, and not on loopback alone.")
@click.option("--port", type=int, help="Port to listen on.")
@click.option("--user", default="cloudos", show_default=True, help="User that it runs as; made where there is none.")
@click.option("--print", "shown", is_flag=True, help="Print the unit, and install nothing.")
def install_service(lan: bool, port: int | None, user: str, shown: bool) -> None:
    """Write the unit, and start the node now and with the machine."""
    from cloudos_host.cli.systemd_service import STATE, Service

    place = click.get_current_context().meta.get(_PLACE, {})
    config = _config(host="0.0.0.0" if lan else None, port=port, data_dir=place.get("data_dir", STATE))  # noqa: S104
    made = Service(config, place.get("config"), user)
    click.echo(made.unit() if shown else "\n".join(made.install()), nl=not shown)


@service.command("uninstall")
def uninstall_service() -> None:
    """Stop the node and remove its unit; its data stays."""
    from cloudos_host.cli import systemd_service

    click.echo("\n".join(systemd_service.uninstall()))


@service.command("status")
def service_status() -> None:
    """Tell whether the service is installed and runs; exit 3 where it does not run."""
    from cloudos_host.cli import systemd_service

    running, lines = systemd_service.status()
    click.echo("\n".join(lines))
    sys.exit(0 if running else 3)


@cli.group()
def db() -> None:
    """Look at the database's revisions, upgrade it, and move it to another."""


@db.command()
def status() -> None:
    """Show the revision of each plugin's tables."""
    from cloudos_host.cli import cli_context, doctor

    host, loader = cli_context.examine(_config())
    loader.load()
    host.open()
    for id, current, pending in doctor.revisions(host):
        click.echo(f"{id:16} {current or '-':8} {'up to date' if not pending else 'to come: ' + ', '.join(pending)}")


@db.command()
def upgrade() -> None:
    """Bring all tables up to date; a snapshot is taken first."""
    from cloudos_host.cli import doctor

    problems = doctor.upgrade(_config())
    for problem in problems:
        click.echo(problem, err=True)
    sys.exit(1 if problems else 0)


@db.command()
@click.option("--to", required=True, metavar="URL", help="SQLAlchemy URL of an empty database.")
def move(to: str) -> None:
    """Copy the whole database into an empty one, SQLite or PostgreSQL; the host must not run."""
    from cloudos_host.cli.database_move import move

    click.echo(move(_config(), to, lambda line: click.echo(line, err=True)))


@cli.command()
def openapi() -> None:
    """Print the OpenAPI document of the installed plugins."""
    import orjson

    from cloudos_host.cli import doctor

    document = doctor.openapi(_config())
    click.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2))


@cli.command()
def settings() -> None:
    """Print every setting of the installed plugins, as Markdown; no node is needed."""
    from cloudos_host.cli.settings_page import settings_page

    click.echo(settings_page(discover()), nl=False)


def _config(**overrides: object) -> Config:
    place = click.get_current_context().meta.get(_PLACE, {})
    return load(place.get("config"), os.environ, {"data_dir": place.get("data_dir"), **overrides})
