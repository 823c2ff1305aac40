"""A receiver that costs as little as can be: answers 200 to each POST, and to a GET how many came in how long."""

import asyncio
import json
import signal
import sys
import time

import uvloop

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
times: list[float] = []


class Receiver(asyncio.Protocol):
    """One connection; a request comes with its length, as both senders send it."""

    def __init__(self):
        self.buffer = b""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self.buffer) < end + 4 + length:
                return
            self.buffer = self.buffer[end + 4 + length :]
            if head.startswith(b"post"):
                times.append(time.monotonic())
                self.transport.write(OK)
            else:
                self.tell(forget=head.startswith(b"get /forget"))

    def tell(self, *, forget):
        body = json.dumps({"count": len(times), "seconds": times[-1] - times[0] if times else 0}).encode()
        if forget:
            times.clear()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self.transport.write(head.encode() + body)


async def main():
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    server = await loop.create_server(Receiver, "127.0.0.1", 0, backlog=512)
    print(f"serving on http://127.0.0.1:{server.sockets[0].getsockname()[1]}", file=sys.stderr, flush=True)
    await stop.wait()


uvloop.run(main())
