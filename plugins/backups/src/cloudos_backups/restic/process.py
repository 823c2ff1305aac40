"""One run of restic: its environment, its password by a pipe, its lines as they come, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path

from cloudos_sdk import Context

from cloudos_backups.restic.errors import ResticKilled, ResticMissing, error_of, is_full
from cloudos_backups.restic.repository import Repository

OLDEST = (0, 14)
_LINE = 1 << 24
_CHUNK = 1 << 16
_SAID = 20_000
_PATIENCE = 10.0  # seconds that restic has to take back its locks
_KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy")

Line = Callable[[bytes], None]


def find_program(chosen: Path | None) -> str:
    """Return the path of restic. Raises ResticMissing."""
    found = str(chosen) if chosen is not None else shutil.which("restic", path=_path())
    if found is None or not os.access(found, os.X_OK):
        raise ResticMissing(f"{found} is no program." if found else "There is no restic on this machine.")
    return found


def version_of(said: str) -> tuple[int, ...]:
    """Return the version in what `restic version` says. Raises ResticMissing for one that is too old."""
    match = re.search(r"restic (\d+)\.(\d+)(?:\.(\d+))?", said)
    if match is None:
        raise ResticMissing(f"This is no restic: {said[:100]!r}.")
    version = tuple(int(part) for part in match.groups(default="0"))
    if version[:2] < OLDEST:
        raise ResticMissing(f"restic {match[0][7:]} is too old; {'.'.join(map(str, OLDEST))} is the least.")
    return version


def found_restic(chosen: Path | None) -> str:
    """Return which restic there is, and where, for `cloudos doctor`. Raises ResticMissing."""
    program = find_program(chosen)
    said = subprocess.run([program, "version"], capture_output=True, text=True, timeout=10, check=False).stdout
    return f"restic {'.'.join(map(str, version_of(said)))} at {program}"


def _path() -> str:
    return os.environ.get("PATH", "") + ":/usr/local/bin:/usr/bin:/bin"


class ResticProcess:
    """Runs restic. It dies with us, so that no run of a host that was killed goes on beside the next one."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._cache = ctx.settings.cache_folder or ctx.data_dir / "cache"
        self._version: tuple[int, ...] | None = None

    async def version(self) -> tuple[int, ...]:
        """Return restic's version. Raises ResticMissing."""
        if self._version is None:
            program = find_program(self._ctx.settings.restic_program)
            run = await asyncio.create_subprocess_exec(program, "version", stdout=asyncio.subprocess.PIPE)
            said, _ = await run.communicate()
            self._version = version_of(said.decode(errors="replace"))
        return self._version

    async def run(
        self,
        repository: Repository,
        *arguments: str,
        line: Line | None = None,
        complaint: Line | None = None,
        fine: Sequence[int] = (0,),
        pid: Callable[[int], None] | None = None,
    ) -> int:
        """Run it to its end, handing out each line of its output and complaints; return the exit code.

        Raises the error of `errors` for an exit code that is not `fine`.
        """
        chunks = self._chunks(repository, arguments, fine, complaint, pid)
        left = b""
        code = 0
        async with contextlib.aclosing(chunks):
            async for piece in chunks:
                if isinstance(piece, int):
                    code = piece
                    continue
                *lines, left = (left + piece).split(b"\n")
                for found in lines:
                    if line is not None and found:
                        line(found)
        if left and line is not None:
            line(left)
        return code

    async def stream(self, repository: Repository, *arguments: str) -> AsyncGenerator[bytes, None]:
        """Yield its output as it comes; raise where it fails."""
        chunks = self._chunks(repository, arguments, (0,), None, None)
        async with contextlib.aclosing(chunks):
            async for piece in chunks:
                if isinstance(piece, bytes):
                    yield piece

    async def _chunks(
        self,
        repository: Repository,
        arguments: Sequence[str],
        fine: Sequence[int],
        complaint: Line | None,
        pid: Callable[[int], None] | None,
    ) -> AsyncGenerator[bytes | int, None]:
        await self.version()
        reading, writing = os.pipe()
        try:
            os.write(writing, repository.password.encode())
            os.close(writing)
            process = await self._begin(repository, arguments, reading)
        finally:
            os.close(reading)
        if pid is not None:
            pid(process.pid)
        said: list[str] = []
        listening = asyncio.ensure_future(self._listen(process, said, complaint))
        stall = self._ctx.settings.stall_seconds
        try:
            assert process.stdout is not None  # noqa: S101 - it was asked for
            while True:
                async with asyncio.timeout(stall):
                    piece = await process.stdout.read(_CHUNK)
                if not piece:
                    break
                yield piece
            async with asyncio.timeout(stall):
                code = await process.wait()
            await listening
        except TimeoutError:
            raise ResticKilled(f"gave no sign of life for {stall:g} s and was ended.") from None
        finally:
            await _end(process)
            listening.cancel()
        if code not in fine:
            code = max(code, 1) if is_full("\n".join(said)) else code
            raise error_of(code, repository.shown("\n".join(said)))
        yield code

    async def _begin(
        self, repository: Repository, arguments: Sequence[str], password: int
    ) -> asyncio.subprocess.Process:
        settings = self._ctx.settings
        own = {name: os.environ[name] for name in _KEPT if name in os.environ}
        environment = {
            **own,
            **repository.environment,
            "RESTIC_REPOSITORY": repository.url,
            "RESTIC_PASSWORD_FILE": f"/dev/fd/{password}",
            "RESTIC_CACHE_DIR": str(self._cache),
            "RESTIC_PROGRESS_FPS": "2",
        }
        self._cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        options = [word for option in repository.options for word in ("-o", option)]
        if settings.upload_limit_kib:
            options += ["--limit-upload", str(settings.upload_limit_kib)]
        return await asyncio.create_subprocess_exec(
            *_dying_with_us(),
            find_program(settings.restic_program),
            *options,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
            cwd="/",
            pass_fds=(password,),
            start_new_session=True,
            limit=_LINE,
        )

    @staticmethod
    async def _listen(process: asyncio.subprocess.Process, said: list[str], complaint: Line | None) -> None:
        assert process.stderr is not None  # noqa: S101 - it was asked for
        size = 0
        async for found in process.stderr:
            text = found.decode(errors="replace").rstrip()
            size += len(text)
            said.append(text)
            while size > _SAID and len(said) > 1:
                size -= len(said.pop(0))
            if is_full(text) and process.returncode is None:
                process.send_signal(signal.SIGINT)  # it would try for a quarter of an hour
            if complaint is not None and text:
                complaint(found)


def _dying_with_us() -> Sequence[str]:
    setpriv = shutil.which("setpriv", path=_path())
    return (setpriv, "--pdeathsig", "KILL", "--") if setpriv is not None else ()


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a run that is not wanted any more: asked first, so that it takes back its locks."""
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGINT)
    try:
        async with asyncio.timeout(_PATIENCE):
            await process.wait()
    except (TimeoutError, asyncio.CancelledError):
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
