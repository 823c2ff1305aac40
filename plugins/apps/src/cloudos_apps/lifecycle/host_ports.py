"""Host ports: free ones, and the holders of others."""

from __future__ import annotations

import socket

from cloudos_sdk import Conflict

UNKNOWN = "another program"


def is_free(address: str, port: int, protocol: str) -> bool:
    """Return whether no process listens on a port."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    with socket.socket(family, kind) as trial:
        if protocol == "tcp":
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((address, port))
        except OSError:
            return False
    return True


def holder(port: int) -> str:
    """Return the process that listens on a port, e.g. `nginx (pid 12)`, or UNKNOWN if hidden."""
    import psutil

    try:
        for connection in psutil.net_connections("inet"):
            local = connection.laddr
            listens = connection.status in (psutil.CONN_LISTEN, psutil.CONN_NONE)
            if local and local.port == port and listens and connection.pid is not None:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:
        pass
    return UNKNOWN


def in_use(port: int, protocol: str, who: str) -> Conflict:
    """Return the error of a port that is taken."""
    return Conflict(
        "port_in_use",
        f"Port {port}/{protocol} is held by {who}. Choose another port in `config`, or free it.",
        port=port,
        protocol=protocol,
        holder=who,
    )
