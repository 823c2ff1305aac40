"""The Docker Engine, by its HTTP API; everything else here is ignorant of the `docker` package."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from cloudos_sdk import CloudOSError

from cloudos_apps.engine.container_config import create_container
from cloudos_apps.engine.errors import DockerUnreachable, EngineRefused, PullFailed, cause
from cloudos_apps.engine.log_lines import Followed, parse_line
from cloudos_apps.engine.pull_progress import Layers
from cloudos_apps.engine.specs import APP, GENERATION, NODE, SERVICE, ContainerSpec, ContainerState
from cloudos_apps.engine.stream import newest_lines, open_logs, open_pull
from cloudos_apps.engine.threaded_stream import ThreadedStream

T = TypeVar("T")


class DockerEngine:
    """One engine. Every call runs in a small pool of threads of its own; streams have their own thread each.

    Logs are read in another pool: long ones keep no app from being started or stopped.
    """

    def __init__(self, url: str, node: str) -> None:
        self.url = url
        self.node = node
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="docker")
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="docker-log")
        self._client: Any = None

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._readers.shutdown(wait=False, cancel_futures=True)

    def connect(self, timeout: float = 60) -> Any:
        """Return a client of its own, for a stream; blocks. Raises DockerUnreachable.

        Where the socket is not even there, the client's library is not loaded: 7 MB, on a node without an engine.
        """
        if self.url.startswith("unix://") and not Path(self.url.removeprefix("unix://")).exists():
            raise DockerUnreachable(self.url, "no such socket")
        import docker

        with self._errors():
            return docker.APIClient(base_url=self.url, version="auto", timeout=timeout)

    async def call(self, work: Callable[..., T], *args: Any) -> T:
        """Run `work(client, *args)` in a thread. Raises DockerUnreachable, EngineRefused.

        Who is cancelled waits for the end of the call: what it makes is there before anybody cleans up.
        """
        return await self._in(self._pool, work, *args)

    async def _in(self, pool: ThreadPoolExecutor, work: Callable[..., T], *args: Any) -> T:
        doing = asyncio.get_running_loop().run_in_executor(pool, self.guarded, work, *args)
        try:
            return await asyncio.shield(doing)
        except asyncio.CancelledError:
            await asyncio.wait([doing])
            if not doing.cancelled():
                doing.exception()  # it has been seen: nobody else asks for it
            raise

    def guarded(self, work: Callable[..., T], *args: Any) -> T:
        """Run `work(client, *args)` here and now; blocks. Raises DockerUnreachable, EngineRefused."""
        with self._errors():
            if self._client is None:
                self._client = self.connect()
            return work(self._client, *args)

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except CloudOSError:
            raise
        except Exception as error:
            ours = self.translated(error)
            if ours is error:
                raise
            raise ours from error

    def translated(self, error: Exception) -> Exception:
        """Return our error for one of the `docker` package or of its connection; others as they are."""
        if isinstance(error, CloudOSError):
            return error
        import docker.errors
        import requests.exceptions
        import urllib3.exceptions

        if isinstance(error, docker.errors.APIError):
            return EngineRefused(str(error.explanation or error), error.status_code)
        if isinstance(
            error,
            docker.errors.DockerException
            | requests.exceptions.RequestException
            | urllib3.exceptions.HTTPError
            | OSError,
        ):
            self._client = None
            return DockerUnreachable(self.url, cause(error))
        return error

    async def version(self) -> str:
        """Return the engine's version."""
        return str(await self.call(lambda client: client.version()["Version"]))

    async def root(self) -> Path:
        """Return the folder in which the engine keeps images and volumes."""
        return Path(await self.call(lambda client: client.info()["DockerRootDir"]))

    async def has_image(self, image: str) -> bool:
        """Return whether the image is present."""
        return await self._there(lambda client: client.inspect_image(image))

    async def pull(self, image: str) -> AsyncGenerator[tuple[float, str, Mapping[str, Any]], None]:
        """Pull an image, yielding how far it is: 0..1, a sentence, and each layer's state. Raises PullFailed."""
        layers, told = Layers(image), 0.0
        lines = ThreadedStream(lambda: self.guarded(open_pull, image), self.translated, f"docker-pull {image}")
        try:
            async for line in lines:
                if "error" in line:
                    raise PullFailed(image, str(line["error"]))
                layers.note(line)
                if time.monotonic() - told > 0.2:
                    told = time.monotonic()
                    yield layers.progress()
        except EngineRefused as error:
            raise PullFailed(image, error.message) from error
        finally:
            lines.close()
        if not await self.has_image(image):
            raise PullFailed(image, "the engine broke it off")
        yield layers.progress()

    def follow_events(self, since: int) -> ThreadedStream:
        """Return the event stream of this node's containers from `since` (ns since 1970) on."""

        def open_events() -> Any:
            filters = {"type": "container", "label": f"{NODE}={self.node}"}
            with self._errors():
                return self.connect().events(
                    since=f"{since // 10**9}.{since % 10**9:09d}", decode=True, filters=filters
                )

        return ThreadedStream(open_events, self.translated, "docker-events")

    def follow_logs(
        self, container: str, tail: int, since: int | None, made: Callable[[bytes, int], bytes]
    ) -> ThreadedStream:
        """Return the stream of a container's log, each line as `made(line, bytes left out)` makes it in the thread."""
        return ThreadedStream(
            lambda: Followed(self.guarded(open_logs, container, tail, since), made),
            self.translated,
            f"docker-logs {container[:12]}",
        )

    async def create_network(self, name: str, app: str) -> None:
        """Make an app's network; it may be there already."""
        labels = {APP: app, NODE: self.node}
        if not await self._there(lambda client: client.inspect_network(name)):
            await self.call(lambda client: client.create_network(name, driver="bridge", labels=labels))

    async def create_volume(self, name: str, app: str) -> None:
        """Make a volume; it may be there already."""
        await self.call(lambda client: client.create_volume(name, labels={APP: app, NODE: self.node}))

    async def create(self, spec: ContainerSpec) -> str:
        """Make a container without starting it; return its id."""
        return str(await self.call(create_container, spec))

    async def start(self, container: str) -> None:
        """Start a container."""
        await self.call(lambda client: client.start(container))

    async def stop(self, container: str, seconds: int) -> None:
        """Stop a container, by force after `seconds`."""
        await self.call(lambda client: client.stop(container, timeout=seconds))

    async def pause(self, container: str) -> None:
        """Freeze a container's programs; it may be frozen already, or have ended."""
        await self._gone(lambda client: client.pause(container))

    async def unpause(self, container: str) -> None:
        """Let a container's programs go on; they may do so already."""
        await self._gone(lambda client: client.unpause(container))

    async def mountpoint(self, volume: str) -> Path | None:
        """Return the folder of the machine that is a volume; None where there is no such volume."""
        try:
            return Path(await self.call(lambda client: client.inspect_volume(volume)["Mountpoint"]))
        except EngineRefused as error:
            if error.engine_status == 404:
                return None
            raise

    async def hold(self, container: str, seconds: int) -> None:
        """Stop a container, and let the engine not start it by itself again; it may be gone already."""
        await self._gone(lambda client: client.update_container(container, restart_policy={"Name": "no"}))
        await self._gone(lambda client: client.stop(container, timeout=seconds))

    async def states(self, app: str | None = None) -> list[ContainerState]:
        """Return the containers of one app, or of all apps of this node."""
        label = [f"{NODE}={self.node}"] + ([f"{APP}={app}"] if app else [])
        return await self.call(_states, label)

    async def remove_containers(self, app: str, *, generation: int | None = None) -> None:
        """Remove an app's containers by label, all or of one generation, with the nameless volumes of their images."""
        for state in await self.states(app):
            if generation is None or state.generation == generation:
                await self._gone(lambda client, id=state.id: client.remove_container(id, force=True, v=True))

    async def networks(self) -> set[str]:
        """Return the ids of the apps of this node that have a network."""
        found = await self.call(lambda client: client.networks(filters={"label": [f"{NODE}={self.node}"]}))
        return {network["Labels"][APP] for network in found}

    async def stop_signal(self, container: str) -> str:
        """Return the signal by which a container is asked to stop, by name or number."""
        found = await self.call(lambda client: client.inspect_container(container))
        return str(found["Config"].get("StopSignal") or "SIGTERM")

    async def remove_network(self, app: str) -> None:
        """Remove an app's network by label."""
        networks = await self.call(lambda client: client.networks(filters={"label": [f"{APP}={app}"]}))
        for network in networks:
            await self._gone(lambda client, id=network["Id"]: client.remove_network(id))

    async def remove_volumes(self, names: Sequence[str]) -> None:
        """Remove volumes by name."""
        for name in names:
            await self._gone(lambda client, name=name: client.remove_volume(name, force=True))

    async def logs(self, container: str, tail: int, since: int | None) -> list[tuple[bytes, int]]:
        """Return the newest lines of a container's log, each with its time before it, and the bytes left out of it."""
        return await self._in(self._readers, newest_lines, container, tail, {"since": since} if since else {})

    async def usage(self, container: str) -> Mapping[str, Any]:
        """Return the engine's current statistics of a container; CPU shares need two of them."""
        found: Mapping[str, Any] = await self.call(lambda client: client.stats(container, stream=False, one_shot=True))
        return found

    async def disk_usage(self) -> tuple[Mapping[str, int], Mapping[str, int]]:
        """Return the bytes of every container, by id, and of every volume, by name. Slow: the engine counts files."""
        found = await self.call(lambda client: client.df())
        containers = {c["Id"]: int(c.get("SizeRw") or 0) for c in found.get("Containers") or []}
        volumes = {v["Name"]: max(0, (v.get("UsageData") or {}).get("Size", 0)) for v in found.get("Volumes") or []}
        return containers, volumes

    async def last_lines(
        self, container: str, count: int = 20, *, until: float | None = None, hidden: Sequence[str] = ()
    ) -> list[str]:
        """Return the newest lines of a container's log, or those up to `until` (seconds since 1970).

        What is `hidden` is not in them.
        """
        # ten times as many: the engine takes the newest first, and of those the ones before `until`
        found = await self._in(
            self._readers, newest_lines, container, count * (10 if until else 1), {"until": until} if until else {}
        )
        return [parse_line("", *line, hidden).message[:2000] for line in found][-count:]

    async def _gone(self, work: Callable[..., Any]) -> None:
        try:
            await self.call(work)
        except EngineRefused as error:
            if error.engine_status not in (404, 409):
                raise

    async def _there(self, work: Callable[..., Any]) -> bool:
        try:
            await self.call(work)
        except EngineRefused as error:
            if error.engine_status == 404:
                return False
            raise
        return True


def _states(client: Any, labels: Sequence[str]) -> list[ContainerState]:
    import docker.errors

    states = []
    for listed in client.containers(all=True, filters={"label": list(labels)}):
        try:
            found = client.inspect_container(listed["Id"])
        except docker.errors.NotFound:  # it went meanwhile
            continue
        own, state = found["Config"]["Labels"], found["State"]
        states.append(
            ContainerState(
                found["Id"],
                found["Name"].lstrip("/"),
                own[APP],
                own[SERVICE],
                int(own[GENERATION]),
                state["Status"],
                state["ExitCode"],
                (state.get("Health") or {}).get("Status"),
                found.get("RestartCount", 0),
            )
        )
    return states
