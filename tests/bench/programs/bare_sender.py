"""A bare aiohttp loop: so many workers share one session and post so many bodies. Arguments: URL, workers, posts."""

import asyncio
import sys

import aiohttp
import uvloop

url, workers, posts = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
BODY = b'{"id":"evt_0123456789abc","type":"alert.fired","timestamp":"2026-01-01T00:00:00Z","data":{"resource":"al_1"}}'
HEADERS = {"Content-Type": "application/json"}


async def work(session, left):
    while left:
        left.pop()
        async with session.post(url, data=BODY, headers=HEADERS) as answer:
            await answer.read()


async def main():
    left = [None] * posts
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=workers)) as session:
        await asyncio.gather(*(work(session, left) for _ in range(workers)))


uvloop.run(main())
