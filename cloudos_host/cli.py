"""The command line: `cloudos serve`, `cloudos plugins`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import click

from cloudos_host import __version__
from cloudos_host.config import Config, ConfigError, load
from cloudos_host.discovery import discover


@click.group()
@click.version_option(__version__)
def main() -> None:
    """Cloud OS: a server operating system whose every feature is a plugin."""


@main.command()
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=int, help="Port to listen on.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder of everything the node keeps.")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="TOML file with the settings.")
@click.option("--safe", is_flag=True, help="Start the required plugins only.")
def serve(host: str | None, port: int | None, data_dir: Path | None, config_file: Path | None, safe: bool) -> None:
    """Serve the API."""
    from cloudos_host.host import HostError

    config = _config(config_file, host=host, port=port, data_dir=data_dir)
    try:
        _run(config, safe)
    except HostError as error:
        click.echo(f"cloudos: {error}", err=True)
        sys.exit(1)


@main.command()
def plugins() -> None:
    """List the installed plugins, without importing any."""
    for found in discover():
        click.echo(f"{found.id:16} {found.distribution} {found.version}{'  ' + found.error if found.error else ''}")


def _config(path: Path | None, **overrides: object) -> Config:
    try:
        return load(path, os.environ, overrides)
    except ConfigError as error:
        click.echo(f"cloudos: {error}", err=True)
        sys.exit(1)


def _run(config: Config, safe: bool) -> None:
    import uvloop

    uvloop.run(_serve(config, safe))


async def _serve(config: Config, safe: bool) -> None:
    import hypercorn.asyncio
    from hypercorn.config import Config as Hypercorn

    from cloudos_host import logs
    from cloudos_host.host import Host, HostError

    logs.configure(config.host)
    node = Host(config, safe=safe)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = Hypercorn()
    server.bind = [f"{config.host.host}:{config.host.port}"]
    server.accesslog = "-" if config.host.access_log else None
    server.backlog = 1024
    server.graceful_timeout = config.host.stop_limit / 2

    async def stopped() -> None:
        await stop.wait()
        node.streams.close()

    try:
        await node.boot()
        try:
            sockets = server.create_sockets()
        except OSError as error:
            raise HostError(
                f"cannot listen on {server.bind[0]}: {error.strerror}; choose another with --port"
            ) from None
        server.bind = [f"fd://{s.fileno()}" for s in sockets.insecure_sockets]
        click.echo(
            f"cloudos: serving on http://{config.host.host}:{sockets.insecure_sockets[0].getsockname()[1]}", err=True
        )
        await hypercorn.asyncio.serve(node.app, server, shutdown_trigger=stopped)  # type: ignore[arg-type] # a Quart app is ASGI
    finally:
        await node.shutdown()
