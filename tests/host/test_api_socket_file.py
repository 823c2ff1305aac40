"""The API on a Unix socket of the data folder."""

from __future__ import annotations

import stat
import sys

import httpx
import structlog
from components.environments import serving

from cloudos_host.plugins.api_socket import ApiSocket

LOG = structlog.get_logger()


def test_the_host_answers_on_the_socket_and_takes_it_away(tmp_path):
    path = tmp_path / "api.sock"
    command = [sys.executable, "-c", "from cloudos_host.cli.main import main; main()"]
    with serving([*command, "serve", "--port", "0", "--data-dir", tmp_path]):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as client:
            assert client.get("http://node/api/health").json()["status"] == "ok"
            wrong = {"username": "nobody", "password": "not the password"}
            assert client.post("http://node/api/auth/login", json=wrong).status_code == 401
            assert client.get("http://node/api/auth/me").status_code == 401
    assert not path.exists()


def test_what_a_killed_host_left_is_replaced(tmp_path):
    path = tmp_path / "api.sock"
    ApiSocket().open(path, LOG).close()
    assert path.exists()
    listener = ApiSocket()
    with listener.open(path, LOG) as listening:
        assert listening.getsockname() == str(path)
    listener.close()
    assert listener.path is None and not path.exists()


def test_a_path_too_long_for_a_socket_leaves_the_port_alone(tmp_path):
    folder = tmp_path / ("é" * 60)
    folder.mkdir()
    listener = ApiSocket()
    assert listener.open(folder / "api.sock", LOG) is None
    assert listener.path is None
    assert listener.open(tmp_path / "missing" / "api.sock", LOG) is None, "nor does a folder that takes no more files"
    assert listener.path is None
