"""The Docker Engine, by its HTTP API; everything else here is ignorant of the `docker` package."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from cloudos_sdk import CloudOSError, Unavailable

P = ParamSpec("P")
T = TypeVar("T")

APP, SERVICE, GENERATION, NODE = "cloudos.app", "cloudos.service", "cloudos.generation", "cloudos.node"


class EngineRefused(CloudOSError):
    """502: the engine was asked and said no; the message is its own."""

    status = 502

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__("engine_refused", message)
        self.engine_status = status


class DockerUnreachable(Unavailable):
    """503: no engine answers."""

    def __init__(self, url: str, cause: object) -> None:
        super().__init__(
            f"The Docker Engine does not answer at {url} ({cause}). Install or start it"
            " (Debian: apt-get install docker.io), or name another with the setting plugins.apps.docker_host.",
            code="docker_unavailable",
            retry_after=5,
        )


@dataclass(frozen=True)
class ContainerSpec:
    """A container to make.

    `ports` are (container port, protocol, address, host port), `binds` (source, path, `ro` or `rw`).
    """

    name: str
    image: str
    labels: Mapping[str, str]
    network: str
    alias: str
    environment: Mapping[str, str] = field(default_factory=dict)
    command: Sequence[str] | None = None
    entrypoint: Sequence[str] | None = None
    ports: Sequence[tuple[int, str, str, int]] = ()
    binds: Sequence[tuple[str, str, str]] = ()
    healthcheck: Mapping[str, Any] | None = None
    memory_mb: int = 512
    cpus: float = 1.0
    user: str | None = None
    privileged: bool = False
    host_network: bool = False
    devices: Sequence[str] = ()
    cap_add: Sequence[str] = ()
    restart: str = "unless-stopped"
    shm_size_mb: int | None = None


@dataclass(frozen=True)
class ContainerState:
    """A container as it is: `status` of the engine (created, running, exited, …), `health` or None without a check."""

    id: str
    name: str
    app: str
    service: str
    generation: int
    status: str
    exit_code: int = 0
    health: str | None = None
    restarts: int = 0


class DockerEngine:
    """One engine. Every call runs in a small pool of threads of its own; streams have their own thread each."""

    def __init__(self, url: str, node: str) -> None:
        self.url = url
        self.node = node
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="docker")
        self._pulls = ThreadPoolExecutor(2, thread_name_prefix="docker-pull")
        self._client: Any = None

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._pulls.shutdown(wait=False, cancel_futures=True)

    def connect(self, timeout: float = 60) -> Any:
        """Return a client of its own, for a stream; blocks. Raises DockerUnreachable."""
        import docker
        from docker.errors import DockerException

        try:
            return docker.APIClient(base_url=self.url, version="auto", timeout=timeout)
        except DockerException as error:
            raise DockerUnreachable(self.url, _cause(error)) from error

    async def call(self, work: Callable[..., T], *args: Any) -> T:
        """Run `work(client, *args)` in a thread. Raises DockerUnreachable, EngineRefused."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._guarded, work, *args)

    def _guarded(self, work: Callable[..., T], *args: Any) -> T:
        import docker.errors
        import requests.exceptions

        try:
            if self._client is None:
                self._client = self.connect()
            return work(self._client, *args)
        except docker.errors.APIError as error:
            raise EngineRefused(str(error.explanation or error), error.status_code) from error
        except (requests.exceptions.ConnectionError, requests.exceptions.Timeout) as error:
            self._client = None
            raise DockerUnreachable(self.url, _cause(error)) from error

    async def version(self) -> str:
        """Return the engine's version."""
        return str(await self.call(lambda client: client.version()["Version"]))

    async def root(self) -> Path:
        """Return the folder in which the engine keeps images and volumes."""
        return Path(await self.call(lambda client: client.info()["DockerRootDir"]))

    async def has_image(self, image: str) -> bool:
        """Tell whether the image is there already."""
        return await self._there(lambda client: client.inspect_image(image))

    async def pull(self, image: str) -> AsyncIterator[tuple[float, str, Mapping[str, Any]]]:
        """Pull an image, yielding how far it is: 0..1, a sentence, and each layer's state."""
        loop = asyncio.get_running_loop()
        news: asyncio.Queue[Any] = asyncio.Queue()
        stream: list[Any] = []

        def work(client: Any) -> None:
            repository, _, tag = image.rpartition(":") if "@" not in image else image.partition("@")
            found = client.pull(repository, tag=tag, stream=True, decode=True)
            stream.append(found)
            layers: dict[str, tuple[str, int, int]] = {}
            told = 0.0
            for line in found:
                if "error" in line:
                    raise EngineRefused(f"The image {image} cannot be pulled: {line['error']}")
                _note_layer(layers, line)
                if layers and time.monotonic() - told > 0.2:
                    told = time.monotonic()
                    loop.call_soon_threadsafe(news.put_nowait, _progress(image, layers))
            if layers:
                loop.call_soon_threadsafe(news.put_nowait, _progress(image, layers))

        done = loop.run_in_executor(self._pulls, self._guarded, work)
        done.add_done_callback(lambda _: news.put_nowait(None))
        try:
            while (item := await news.get()) is not None:
                yield item
            await done
        finally:
            if not done.done():
                for found in stream:
                    found.close()

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
        return str(await self.call(_create, spec))

    async def start(self, container: str) -> None:
        """Start a container."""
        await self.call(lambda client: client.start(container))

    async def stop(self, container: str, seconds: int) -> None:
        """Stop a container, by force after `seconds`."""
        await self.call(lambda client: client.stop(container, timeout=seconds))

    async def states(self, app: str | None = None) -> list[ContainerState]:
        """Return the containers of one app, or of all apps of this node."""
        label = [f"{NODE}={self.node}"] + ([f"{APP}={app}"] if app else [])
        return await self.call(_states, label)

    async def remove_containers(self, app: str, *, generation: int | None = None) -> None:
        """Remove an app's containers by label, all or of one generation."""
        for state in await self.states(app):
            if generation is None or state.generation == generation:
                await self._gone(lambda client, id=state.id: client.remove_container(id, force=True))

    async def remove_network(self, app: str) -> None:
        """Remove an app's network by label."""
        networks = await self.call(lambda client: client.networks(filters={"label": [f"{APP}={app}"]}))
        for network in networks:
            await self._gone(lambda client, id=network["Id"]: client.remove_network(id))

    async def remove_volumes(self, names: Sequence[str]) -> None:
        """Remove volumes by name."""
        for name in names:
            await self._gone(lambda client, name=name: client.remove_volume(name, force=True))

    async def last_lines(self, container: str, count: int = 20) -> list[str]:
        """Return the newest lines of a container's log."""
        raw = await self.call(lambda client: client.logs(container, tail=count))
        return [line[:2000] for line in raw.decode("utf-8", "replace").splitlines()][-count:]

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


def _create(client: Any, spec: ContainerSpec) -> str:
    host = client.create_host_config(
        binds=[f"{source}:{path}:{mode}" for source, path, mode in spec.binds],
        port_bindings={f"{inside}/{protocol}": (address, host) for inside, protocol, address, host in spec.ports},
        mem_limit=f"{spec.memory_mb}m",
        nano_cpus=int(spec.cpus * 1_000_000_000),
        restart_policy={"Name": spec.restart},
        security_opt=["no-new-privileges"],
        log_config={"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}},
        privileged=spec.privileged,
        cap_add=list(spec.cap_add),
        devices=list(spec.devices),
        shm_size=f"{spec.shm_size_mb}m" if spec.shm_size_mb else None,
        network_mode="host" if spec.host_network else spec.network,
    )
    network = None
    if not spec.host_network:
        endpoint = client.create_endpoint_config(aliases=[spec.alias])
        network = client.create_networking_config({spec.network: endpoint})
    made = client.create_container(
        spec.image,
        name=spec.name,
        hostname=spec.alias,
        command=list(spec.command) if spec.command is not None else None,
        entrypoint=list(spec.entrypoint) if spec.entrypoint is not None else None,
        environment=dict(spec.environment),
        labels=dict(spec.labels),
        ports=[(inside, protocol) for inside, protocol, _, _ in spec.ports],
        healthcheck=dict(spec.healthcheck) if spec.healthcheck else None,
        user=spec.user,
        host_config=host,
        networking_config=network,
        detach=True,
    )
    return str(made["Id"])


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


def _note_layer(layers: dict[str, tuple[str, int, int]], line: Mapping[str, Any]) -> None:
    status, layer = line.get("status", ""), line.get("id")
    if layer is None or status.startswith("Pulling from"):
        return
    detail = line.get("progressDetail") or {}
    _, _, total = layers.get(layer, ("", 0, 1))
    total = detail.get("total") or total
    done = total if status in ("Pull complete", "Already exists", "Download complete") else detail.get("current", 0)
    layers[layer] = (status, done, total)


def _progress(image: str, layers: Mapping[str, tuple[str, int, int]]) -> tuple[float, str, Mapping[str, Any]]:
    whole = sum(total for _, _, total in layers.values())
    detail = {id: {"status": s, "done": done, "total": total} for id, (s, done, total) in layers.items()}
    return sum(done for _, done, _ in layers.values()) / max(1, whole), f"Pulling {image}", {"layers": detail}


def _cause(error: BaseException) -> str:
    text = str(error)
    for sign, words in (
        ("No such file", "no such socket"),
        ("Permission denied", "no permission for its socket: add the user to the group docker"),
        ("Connection refused", "connection refused"),
    ):
        if sign in text:
            return words
    return type(error).__name__
