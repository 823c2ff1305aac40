"""A bare server of the MCP library with one tool, served as the host is: `bare_mcp.py`."""

from __future__ import annotations

import asyncio
import contextlib
import sys

import hypercorn.asyncio
import mcp_types as types
from hypercorn.config import Config
from mcp.server.lowlevel.server import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

TOOL = types.Tool(name="bench_echo", description="Echo", input_schema={"type": "object"})


async def list_tools(ctx, params):
    return types.ListToolsResult(tools=[TOOL])


async def call_tool(ctx, params):
    return types.CallToolResult(content=[types.TextContent(type="text", text=params.arguments["text"])])


async def main():
    server = Server("bare", on_list_tools=list_tools, on_call_tool=call_tool)
    manager = StreamableHTTPSessionManager(server)

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            for answer in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{answer}.complete"})
        else:
            await manager.handle_request(scope, receive, send)

    config = Config()
    config.bind = ["127.0.0.1:0"]
    sockets = config.create_sockets()
    (listening,) = sockets.insecure_sockets
    listening.listen(1024)
    config.bind = [f"fd://{listening.fileno()}"]
    config.accesslog = None
    print(f"serving on http://127.0.0.1:{listening.getsockname()[1]}", file=sys.stderr, flush=True)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(15, stop.set)
    config.graceful_timeout = 0.5
    with contextlib.suppress(asyncio.CancelledError):  # how the manager's task group ends
        async with manager.run():
            await hypercorn.asyncio.serve(app, config, shutdown_trigger=stop.wait)


if __name__ == "__main__":
    try:
        import uvloop
    except ImportError:
        asyncio.run(main())
    else:
        uvloop.run(main())
