"""A node that is lost: restored whole on an empty folder by its recovery key, its users sign in as before."""

import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyotp
from components.environments import WHO, serving

CLOUDOS = Path(sys.executable).with_name("cloudos")
ENVIRONMENT = {"CLOUDOS_HOST__DISABLED": '["apps", "system", "alerts", "proxy", "memory"]'}


def serve(folder):
    return serving([sys.executable, "-m", "cloudos_host", "serve", "--port", "0", "--data-dir", folder], **ENVIRONMENT)


def ask(server, method, path, status, body=None):
    found, answer = server.request(method, f"/api/{path}", body)
    assert found == status, answer
    return answer


def ended(server, operation):
    end = time.monotonic() + 60
    while (found := ask(server, "GET", f"operations/{operation}", 200))["state"] in ("queued", "running"):
        assert time.monotonic() < end
        time.sleep(0.1)
    assert found["state"] == "succeeded", found
    return found


def restored(target, key, folder):
    command = [CLOUDOS, "backups", "restore", "--target", target, "--recovery-key", key, "--data-dir", folder]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_a_lost_node_is_back_with_its_users_second_factors_notes_and_backups(tmp_path, restic):
    data, disk = tmp_path / "data", tmp_path / "disk"
    with serve(data) as server:
        server.sign_in()
        secret = ask(server, "POST", "auth/totp/enable", 200)["secret"]
        code = pyotp.TOTP(secret).at(datetime.now(UTC))
        ask(server, "POST", "auth/totp/verify", 200, {"code": code})
        ask(server, "POST", "notes", 201, {"title": "kept", "content": "words"})
        config = {"name": "disk", "type": "local", "config": {"path": str(disk)}}
        key = ask(server, "POST", "backup/targets", 201, config)["recovery_key"]
        made = ask(server, "POST", "backups", 201, {"target": "disk", "include_config": True})
        ended(server, made["operation_id"])
    refused = restored(disk, key, data)
    assert refused.returncode == 1 and "not empty" in refused.stderr
    shutil.rmtree(data)

    wrong = restored(disk, "-".join(["AAAAA"] * 8), tmp_path / "again")
    assert wrong.returncode == 1 and "does not open" in wrong.stderr and not (tmp_path / "again").exists()
    done = restored(disk, key, tmp_path / "again")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []
    with serve(tmp_path / "again") as server:
        begun = ask(server, "POST", "auth/login", 200, WHO)
        assert begun["totp_required"] is True
        later = pyotp.TOTP(secret).at(datetime.now(UTC) + timedelta(seconds=30))  # the code of before was used
        tokens = ask(server, "POST", "auth/totp/verify", 200, {"temp_token": begun["temp_token"], "code": later})
        server.token = tokens["access_token"]
        assert [note["title"] for note in ask(server, "GET", "notes", 200)] == ["kept"]
        assert ask(server, "GET", "backups", 200) == [], "the one that it is of was under way"
        adopted = ask(server, "POST", "backups/adopt", 202, {**config, "recovery_key": key})
        assert ended(server, adopted["operation_id"])["result"]["backups"] == 1
        assert [found["id"] for found in ask(server, "GET", "backups", 200)] == [made["id"]]
        ended(server, ask(server, "POST", "backup/targets/disk/check", 202)["operation_id"])
