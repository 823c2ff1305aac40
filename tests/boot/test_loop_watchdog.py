"""A plugin that holds the event loop is named, with the place; a loop that waits, or work of nobody, is not."""

import asyncio
import sys
import time

from cloudos_host.plugins.discovery import DiscoveredPlugin
from cloudos_host.plugins.loop_watchdog import Holds, LoopWatchdog

SOURCE = """
import time
from cloudos_sdk import Manifest, hookimpl, public
from quart import Blueprint

manifest = Manifest(title="Blocks", prefixes=("/api/blocks",))
routes = Blueprint("blocks", __name__)


@routes.get("/api/blocks")
@public
async def blocks():
    time.sleep(1.5)
    return {}


@hookimpl
def cloudos_routes():
    return [routes]
"""


class Log:
    def __init__(self):
        self.lines = []

    def warning(self, text, **more):
        self.lines.append((text, more))


async def test_who_holds_the_loop_is_named_with_the_place_and_is_ill_by_the_third_time(cloudos, tmp_path, monkeypatch):
    (tmp_path / "blocks").mkdir()
    (tmp_path / "blocks" / "blocks_plugin.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path / "blocks"))
    sys.modules.pop("blocks_plugin", None)
    host = await cloudos(DiscoveredPlugin("blocks", "blocks_plugin", "(test)", "1"))
    log = Log()
    holds = Holds(host.host.records, log)
    watchdog = LoopWatchdog(asyncio.get_running_loop(), holds.plugin_of, holds.told)
    watchdog.start()
    try:
        await asyncio.sleep(0.3)
        time.sleep(1)  # noqa: ASYNC251 - of no plugin
        for _ in range(3):
            assert (await host.client.get("/api/blocks")).status_code == 200
            await asyncio.sleep(0.3)
    finally:
        watchdog.stop()
    ((text, more),) = log.lines
    assert (text, more["plugin"]) == ("plugin held the event loop", "blocks") and more["seconds"] >= 1
    assert more["place"].startswith("blocks_plugin.py:") and more["place"].endswith("in blocks")
    await host.host.health.check()
    health = host.record("blocks").health
    assert not health.ok and "it held the event loop for" in health.detail
