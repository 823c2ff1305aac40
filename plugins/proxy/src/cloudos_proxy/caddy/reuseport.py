"""The SO_REUSEPORT sockets of one web port, of which one receives all new connections."""

from __future__ import annotations

import ctypes
import re
import socket
from collections.abc import Sequence

PLACES = 8
"""Of so many sockets each document listens on all but the one whose turn is next.

So a visitor who was sent to a socket, and is slow to say anything, is still taken six applies later.
"""

_ATTACH_REUSEPORT_FILTER = 51  # SO_ATTACH_REUSEPORT_CBPF, which Python's socket module does not name
_RETURN_CONSTANT = 0x06  # BPF_RET | BPF_K
_LISTENING = re.compile(
    rb'"listen":\["(?P<socket>fd/\{env\.\w+)\}"(?P<more>[^\]]*)\],"listen_protocols":\[(?P<its>\[[^\]]*\])(?P<others>.*?)\],"routes"'
)
_TURNED = re.compile(
    rb'"listen":\["(?P<socket>fd/\{env\.\w+?)_(?P<place>\d+)\}"(?:,"(?P=socket)_\d+\}")*(?P<more>[^\]]*)\],'
    rb'"listen_protocols":\[(?P<its>\[[^\]]*\])(?:,(?P=its))*(?P<others>.*?)\],"routes"'
)


class _Instruction(ctypes.Structure):
    _fields_ = [("code", ctypes.c_uint16), ("jt", ctypes.c_uint8), ("jf", ctypes.c_uint8), ("k", ctypes.c_uint32)]


class _Filter(ctypes.Structure):
    _fields_ = [("len", ctypes.c_uint16), ("instructions", ctypes.POINTER(_Instruction))]


def steer(sockets: Sequence[socket.socket], place: int) -> None:
    """Steer all new connections to the socket at `place`. Raises OSError if the kernel cannot."""
    # a filter of one instruction: "the socket at this place", in the order in which they began to listen (socket(7))
    instruction = _Instruction(_RETURN_CONSTANT, 0, 0, place)
    program = _Filter(1, ctypes.pointer(instruction))
    sockets[0].setsockopt(socket.SOL_SOCKET, _ATTACH_REUSEPORT_FILTER, bytes(program))


def turn(place: int) -> tuple[int, ...]:
    """Return the places on which the document listens whose turn `place` is; all but the next one."""
    return tuple((place - back) % PLACES for back in range(PLACES - 1))


def turned(document: bytes, places: Sequence[int]) -> bytes:
    """Return a document that listens on the sockets at `places`, from one that names each port once."""
    return _LISTENING.sub(lambda found: _listening(found, places), document)


def place_of(document: bytes) -> int:
    """Return the place whose turn a document is that was turned."""
    found = _TURNED.search(document)
    return int(found["place"]) if found else 0


def unturned(document: bytes) -> bytes:
    """Return the document that was turned."""
    return _TURNED.sub(rb'"listen":["\g<socket>}"\g<more>],"listen_protocols":[\g<its>\g<others>],"routes"', document)


def _listening(found: re.Match[bytes], places: Sequence[int]) -> bytes:
    listen = b",".join(b'"%s_%d}"' % (found["socket"], place) for place in places)
    protocols = b",".join([found["its"]] * len(places))
    return b'"listen":[%s%s],"listen_protocols":[%s%s],"routes"' % (listen, found["more"], protocols, found["others"])
