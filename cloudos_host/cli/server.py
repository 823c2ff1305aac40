"""Serve a host on a port until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import sys

import click

from cloudos_host import logs
from cloudos_host.cli.stop_watchdog import StopWatchdog
from cloudos_host.config import Config
from cloudos_host.containment import task_factory
from cloudos_host.host import Host
from cloudos_host.http import hypercorn_fast_path
from cloudos_host.node import HostError
from cloudos_host.plugins.loop_watchdog import Holds, LoopWatchdog

_FIRST_WORD = 0.05  # what imports modules holds up the loop, so those who waited for the port come first


async def run(config: Config, safe: bool) -> None:
    """Boot, serve until SIGTERM or SIGINT, and shut down. Raises HostError if it cannot serve."""
    import hypercorn.asyncio

    sys.setswitchinterval(0.001)  # a thread at work makes the event loop wait for so long each time that it comes back
    logs.configure(config.host)
    node = Host(config, safe=safe)
    hypercorn_fast_path.install(fast=node.app.fast_path)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_task_factory(task_factory)
    if config.host.debug:
        loop.set_debug(True)
        loop.slow_callback_duration = 0.01
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = hypercorn_fast_path.FastPathConfig()
    server.bind = [f"{config.host.host}:{config.host.port}"]
    if config.host.access_log:
        from cloudos_host.http.access_log import AccessLogger

        server.accesslog, server.logger_class = "-", AccessLogger
    server.backlog = 1024
    server.include_server_header = False
    server.graceful_timeout = config.host.stop_limit / 2

    holds = Holds(node.records, node.log)
    watchdog = LoopWatchdog(loop, holds.plugin_of, holds.told)

    async def stopped() -> None:
        await stop.wait()
        watchdog.stop()
        StopWatchdog(loop, config.host.stop_limit, node.log).begin()
        node.streams.close()
        node.app.open_answers.end_all()
        node.mounts.stop_soon()

    try:
        await node.boot_required()
        try:
            sockets = server.create_sockets()
        except OSError as error:
            raise HostError(
                f"cannot listen on {server.bind[0]}: {error.strerror}; choose another with --port"
            ) from None
        inward = node.api_socket.open(config.host.data_dir / "api.sock", node.log)
        listeners = [*sockets.insecure_sockets, *([inward] if inward is not None else [])]
        for listening in listeners:
            listening.listen(server.backlog)
        server.bind = [f"fd://{s.fileno()}" for s in listeners]
        click.echo(
            f"cloudos: serving on http://{config.host.host}:{sockets.insecure_sockets[0].getsockname()[1]}", err=True
        )
        watchdog.start()
        rest = loop.create_task(_boot_rest(node, stop))
        await hypercorn.asyncio.serve(node.app, server, shutdown_trigger=stopped)
        rest.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await rest
    finally:
        node.api_socket.close()
        await node.shutdown()


async def _boot_rest(node: Host, stop: asyncio.Event) -> None:
    """Take up the plugins that are not required, beside the first requests."""
    await asyncio.sleep(_FIRST_WORD)
    try:
        await node.boot_rest()
    except Exception:
        stop.set()
        raise
    gc.freeze()  # a pass over all that was imported takes 100 ms, and would be the p99
    gc.set_threshold(2000, 20, 500)
    gc.enable()
