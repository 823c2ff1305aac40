"""`cloudos user …`, while the host runs: it notices."""

import asyncio

from click.testing import CliRunner
from cloudos_auth.commands import list_users, reset_password

from cloudos_host.cli.cli_context import PluginCommands
from cloudos_host.config import Config
from cloudos_host.plugins.discovery import discover

ACCOUNT = {"username": "admin", "password": "a long password"}


async def test_a_password_reset_beside_a_running_host_ends_its_sessions(cloudos):
    host = await cloudos("auth", settings={"auth": {"bcrypt_cost": 4}})
    await host.anonymous.post("/api/auth/setup", json=ACCOUNT)
    tokens = await (await host.anonymous.post("/api/auth/login", json=ACCOUNT)).get_json()
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    config = Config(host.host.settings, {"auth": {"bcrypt_cost": 4}}, "the test")
    commands = PluginCommands(lambda: config, next(found for found in discover() if found.id == "auth"))

    def run(command, *arguments, **more):
        return CliRunner().invoke(command, arguments, obj=commands, **more)

    listed = await asyncio.to_thread(run, list_users)
    assert listed.output.split() == ["admin", "admin"]
    missing = await asyncio.to_thread(run, reset_password, "nobody", "--password-stdin", input="a new password\n")
    assert missing.exit_code == 1
    assert "There is no user" in missing.output
    done = await asyncio.to_thread(run, reset_password, "admin", "--password-stdin", input="a new password\n")
    assert done.exit_code == 0, done.output
    status = 200
    for _ in range(100):
        status = (await host.anonymous.get("/api/auth/me", headers=bearer)).status_code
        if status == 401:
            break
        await asyncio.sleep(0.05)
    assert status == 401
    answer = await host.anonymous.post("/api/auth/login", json={**ACCOUNT, "password": "a new password"})
    assert answer.status_code == 200
    told = [e for e in await host.event_log() if e.type == "user.password_changed"]
    assert told[0].actor.id == "cli"
