"""A bare Quart application on the hypercorn and the loop that serve Cloud OS: what the ratios are against.

Arguments: the JSON that `/api/auth/me` answers, and perhaps an SQLite file whose `apps_app` rows `/api/apps` reads.
"""

import asyncio
import json
import signal
import sqlite3
import sys

import hypercorn.asyncio
import uvloop
from hypercorn.config import Config
from quart import Quart

QUERY = """
    SELECT id, name, template, version, status, addr, ports, error, operation_id, created_at, updated_at
    FROM apps_app ORDER BY created_at DESC, id
"""
app = Quart(__name__, static_folder=None)
me = json.loads(sys.argv[1])
database = sqlite3.connect(sys.argv[2], check_same_thread=False) if len(sys.argv) > 2 else None


@app.get("/api/auth/me")
async def answer():
    return me


@app.get("/api/apps")
async def apps():
    cursor = database.execute(QUERY)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


async def main():
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    config = Config()
    config.bind = ["127.0.0.1:0"]
    config.accesslog = None
    sockets = config.create_sockets()
    listening = sockets.insecure_sockets[0]
    listening.listen(1024)
    config.bind = [f"fd://{listening.fileno()}"]
    print(f"serving on http://127.0.0.1:{listening.getsockname()[1]}", file=sys.stderr, flush=True)
    await hypercorn.asyncio.serve(app, config, shutdown_trigger=stop.wait)


uvloop.run(main())
