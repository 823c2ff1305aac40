"""The process that sends: takes jobs from its standard input, a JSON line each, and answers with a line each.

It is a process of its own since what Apprise and its libraries wait for cannot be ended from outside of a thread, only
with its process; and since it listens to `requests` and `smtplib` as a whole (`far_side`). It knows no more of the node
than what is to be sent, and ends with its input.
"""

from __future__ import annotations

import os
import sys
import threading
from dataclasses import asdict
from typing import Any

import orjson

from cloudos_alerts.channel_types import TYPES
from cloudos_alerts.notify.apprise_adapter import Message, UnfitConfig, check, send
from cloudos_alerts.notify.forbidden_addresses import refuse_them


def main() -> None:
    """Serve until the input ends."""
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what a library prints is no answer
    refuse_them()
    lock = threading.Lock()

    def serve(job: dict[str, Any]) -> None:
        said = orjson.dumps({"id": job["id"], **_done(job)}) + b"\n"
        with lock:
            answers.write(said)

    for line in sys.stdin.buffer:
        threading.Thread(target=serve, args=(orjson.loads(line),), daemon=True).start()
    os._exit(0)  # threads that still wait for a far side are not waited for


def _done(job: dict[str, Any]) -> dict[str, Any]:
    try:
        config = TYPES[job["type"]].model_validate(job["config"])
        if job["message"] is None:
            check(config)
            return {}
        return asdict(send(config, Message(**job["message"])))
    except UnfitConfig as error:
        return {"unfit": str(error)}
    except Exception as error:  # noqa: BLE001 # whatever it is, who waits is told its kind; its words may be secret
        return {"crash": type(error).__name__}


if __name__ == "__main__":
    main()
