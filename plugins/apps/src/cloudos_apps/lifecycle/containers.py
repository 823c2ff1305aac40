"""From an app to the containers that it is made of, and bringing those up."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import orjson
from cloudos_sdk import CloudOSError, Conflict

from cloudos_apps.consent.host_paths import HostPaths
from cloudos_apps.consent.rights import capabilities_of
from cloudos_apps.engine.client import DockerEngine
from cloudos_apps.engine.container_config import health_check
from cloudos_apps.engine.errors import EngineRefused, NoSpace, PullFailed
from cloudos_apps.engine.specs import APP, GENERATION, NODE, SERVICE, ContainerSpec, ContainerState
from cloudos_apps.lifecycle import host_ports as machine
from cloudos_apps.lifecycle.health_probe import HealthProbe
from cloudos_apps.lifecycle.secret_files import SecretFiles
from cloudos_apps.models import App
from cloudos_apps.settings import AppsSettings
from cloudos_apps.templates.model.template import Service, Template, Value, render, secret_files, secret_path

Progress = Callable[..., Awaitable[None]]
_CRASHES = 3  # a service may try again while another one, whose check it does not name, is not up yet


async def silent(fraction: float, message: str, **detail: Any) -> None:
    """Ignore progress."""


class AppNotHealthy(CloudOSError):
    """An app's container ended or its check failed; `logs` are its last lines."""

    status = 502

    def __init__(self, service: str, what: str, logs: Sequence[str]) -> None:
        last = f" Its last words: {' / '.join(line[:200] for line in logs[-3:])}" if logs else ""
        super().__init__("app_not_healthy", f"The service {service} {what}.{last}", service=service, logs=list(logs))


class Containers:
    """Makes, starts and removes the containers of apps."""

    def __init__(self, engine: DockerEngine, settings: AppsSettings, paths: HostPaths, secrets: SecretFiles) -> None:
        self.engine = engine
        self.paths = paths
        self._secrets = secrets
        self._settings = settings

    def specs(
        self, app: App, template: Template, config: Mapping[str, Value], ports: Mapping[str, int], generation: int
    ) -> list[ContainerSpec]:
        """Return the containers of one generation, in the order in which they start."""
        services = {service.name: service for service in render(template, app.name, config, ports)}
        secrets = {service.name: secret_files(service) for service in template.services}
        specs = []
        for name in template.start_order():
            given = {key: str(config[secret]) for key, secret in secrets[name].items() if secret in config}
            if self._secrets.local:
                files = {secrets[name][key]: value for key, value in given.items()}
                specs.append(self._spec(app.id, services[name], generation, files))
            else:
                specs.append(self._spec(app.id, _without_files(services[name], given), generation, {}))
        return specs

    def _spec(self, app_id: str, service: Service, generation: int, secrets: Mapping[str, str]) -> ContainerSpec:
        labels = {APP: app_id, SERVICE: service.name, GENERATION: str(generation), NODE: self.engine.node}
        check = service.healthcheck
        files = {name: str(self._secrets.path(app_id, generation, name)) for name in secrets}
        return ContainerSpec(
            name=f"cloudos-{app_id}-{service.name}-{generation}",
            image=service.image,
            labels=labels,
            network=network_name(app_id),
            alias=service.name,
            other_aliases=service.aliases,
            environment=service.environment,
            command=service.command,
            entrypoint=service.entrypoint,
            ports=[
                (port.container, port.protocol, port.address or str(self._settings.bind_address), port.host)
                for port in service.ports
                if port.host is not None
            ],
            binds=[
                (
                    volume.host_path or volume_name(app_id, volume.name or ""),
                    volume.path,
                    "ro" if volume.read_only else "rw",
                )
                for volume in service.volumes
            ]
            + [(path, secret_path(name), "ro") for name, path in files.items()],
            healthcheck=health_check(check),
            memory_mb=service.memory_mb,
            memory_reservation_mb=service.memory_reservation_mb,
            cpus=service.cpus,
            user=service.user,
            privileged=service.privileged,
            host_network=service.network_mode == "host",
            devices=service.devices,
            capabilities=capabilities_of(service),
            processes=service.pids_limit,
            secret_files={path: secrets[name] for name, path in files.items()},
            restart=service.restart,
            restart_retries=service.restart_retries,
            shm_size_mb=service.shm_size_mb,
        )

    async def learn_root(self) -> Path:
        """Return the engine's data folder, and use it for path checks from now on."""
        root = await self.engine.root()
        self.paths.learn_root(root)
        return root

    async def check_space(self) -> None:
        """Raise NoSpace if the engine's disk is nearly full; not checked for a remote engine."""
        root = await self.learn_root()
        if not root.exists():
            return
        free = (await asyncio.to_thread(shutil.disk_usage, root)).free // 2**20
        if free < self._settings.min_free_mb:
            raise NoSpace(
                "insufficient_storage",
                f"{free} MB are free where the engine keeps its images, and {self._settings.min_free_mb} MB must be."
                " Remove apps or images that are not needed (`docker system prune`).",
                free_mb=free,
            )

    async def pull(self, specs: Sequence[ContainerSpec], progress: Progress, whole: float) -> None:
        """Pull the images that are not there, reporting up to the fraction `whole`. Raises PullFailed."""
        images = list(dict.fromkeys(spec.image for spec in specs))
        for number, image in enumerate(images):
            if await self.engine.has_image(image):
                continue
            try:
                async with asyncio.timeout(self._settings.pull_timeout):
                    async with aclosing(self.engine.pull(image)) as steps:
                        async for fraction, message, detail in steps:
                            await progress(whole * (number + fraction) / len(images), message, **detail)
            except TimeoutError:
                raise PullFailed(image, f"it is not here after {self._settings.pull_timeout:g} s") from None

    async def create(self, app: App, specs: Sequence[ContainerSpec]) -> None:
        """Create the network, volumes and containers that do not exist yet."""
        there = {state.name for state in await self.engine.states(app.id)}
        await self.engine.create_network(network_name(app.id), app.id)
        for name in orjson.loads(app.volumes):
            await self.engine.create_volume(name, app.id)
        for spec in specs:
            await asyncio.to_thread(self.paths.make, [source for source, _, _ in spec.binds])
            await asyncio.to_thread(self._secrets.write, spec.secret_files)
            if spec.name not in there:
                await self.engine.create(spec)

    async def start(
        self,
        app: App,
        template: Template,
        generation: int,
        *,
        wait: bool,
        progress: Progress = silent,
        hidden: Sequence[str] = (),
    ) -> None:
        """Start one generation in order, each service once those that it needs are well; with `wait`, until all are.

        Raises AppNotHealthy, whose lines show nothing of `hidden`, and Conflict `port_in_use`.
        """
        needed = {name for service in template.services for name in service.depends_on}
        by_service = await self._by_service(app.id, generation)
        for name in template.start_order():
            await progress(0.8, f"Starting {name}")
            if name not in by_service:
                raise AppNotHealthy(name, "has no container", [])
            try:
                await self.engine.start(by_service[name].id)
            except EngineRefused as error:
                raise await start_error(error, app) from error
            if name in needed:
                await self.wait_well(app.id, template, generation, {name}, progress, hidden)
        if wait:
            await self.wait_well(app.id, template, generation, set(by_service), progress, hidden)

    async def wait_well(
        self,
        app_id: str,
        template: Template,
        generation: int,
        services: set[str],
        progress: Progress,
        hidden: Sequence[str] = (),
    ) -> None:
        """Wait until services are healthy, or have run a few seconds if they have no check. Raises AppNotHealthy."""
        asked = time.monotonic()
        deadline = asked + self._settings.health_timeout
        probe = HealthProbe(self.engine)
        once = {service.name for service in template.services if service.restart == "no" or service.one_shot}
        must_end = {service.name for service in template.services if service.one_shot}
        since: dict[str, tuple[int, float]] = {}
        while True:
            states = await self._by_service(app_id, generation)
            waiting = []
            for name in sorted(services):
                state = states.get(name)
                if state is None:
                    raise AppNotHealthy(name, "was removed while it started", [])
                if trouble := _trouble(state, once=name in once):
                    raise AppNotHealthy(name, trouble, await self.engine.last_lines(state.id, hidden=hidden))
                restarts, begun = since.get(name, (-1, 0.0))
                if restarts != state.restarts or state.status != "running":
                    begun = time.monotonic()
                    since[name] = (state.restarts, begun)
                settled = time.monotonic() - begun > self._settings.settle_seconds
                ended = name in once and state.status == "exited"
                well = state.health == "healthy" or (state.health is None and settled)
                if not well and state.health == "starting" and state.status == "running":
                    well = await probe.passes(state.id)
                if not ended and (name in must_end or not well):
                    waiting.append(name)
            if not waiting:
                return
            if time.monotonic() > deadline:
                lines = await self.engine.last_lines(states[waiting[0]].id, hidden=hidden)
                raise AppNotHealthy(waiting[0], f"was not healthy after {self._settings.health_timeout:g} s", lines)
            waited = int(time.monotonic() - asked)
            await progress(0.9, f"Waiting until {', '.join(waiting)} is well, for {waited} s now")
            await asyncio.sleep(0.25)

    async def _by_service(self, app_id: str, generation: int) -> dict[str, ContainerState]:
        return {s.service: s for s in await self.engine.states(app_id) if s.generation == generation}

    async def stop(self, app_id: str, template: Template, generation: int) -> None:
        """Stop one generation, in the reverse order."""
        by_service = await self._by_service(app_id, generation)
        for name in reversed(template.start_order()):
            if name in by_service and by_service[name].status in ("running", "restarting", "paused"):
                await self.engine.stop(by_service[name].id, self._settings.stop_seconds)

    async def remove_generation(self, app_id: str, generation: int) -> None:
        """Remove the containers of one generation, with the files of its secrets."""
        await self.engine.remove_containers(app_id, generation=generation)
        await asyncio.to_thread(self._secrets.forget, app_id, generation)

    async def remove(self, app_id: str, volumes: Sequence[str] = ()) -> None:
        """Remove all containers and the network of an app, the files of its secrets, and the volumes named."""
        await self.engine.remove_containers(app_id)
        await asyncio.to_thread(self._secrets.forget, app_id)
        await self.engine.remove_network(app_id)
        await self.engine.remove_volumes(volumes)


def _without_files(service: Service, secrets: Mapping[str, str]) -> Service:
    """Return the service with secrets passed as variables `X` instead of files `X_FILE`."""
    kept = {key: text for key, text in service.environment.items() if key not in secrets}
    given = {key.removesuffix("_FILE"): value for key, value in secrets.items()}
    return service.model_copy(update={"environment": given | kept})


def network_name(app_id: str) -> str:
    """Return the name of an app's network."""
    return f"cloudos-{app_id}"


def volume_name(app_id: str, volume: str) -> str:
    """Return the engine's name of an app's volume."""
    return f"cloudos-{app_id}-{volume}"


def volume_names(app_id: str, template: Template) -> list[str]:
    """Return the names of the volumes that a template declares."""
    names = (volume.name for service in template.services for volume in service.volumes)
    return [volume_name(app_id, name) for name in dict.fromkeys(names) if name is not None]


def _trouble(state: ContainerState, *, once: bool) -> str | None:
    """Return why a container cannot become healthy, or None."""
    if state.status in ("exited", "dead") and not (once and state.exit_code == 0):
        return f"ended with exit code {state.exit_code} while it started"
    if state.restarts > _CRASHES:
        return f"keeps ending, with exit code {state.exit_code}"
    return "did not become healthy" if state.health == "unhealthy" else None


async def start_error(error: EngineRefused, app: App) -> CloudOSError:
    """Turn the engine's message about a port in use into an error that names the holder."""
    text = error.message
    if "port is already allocated" not in text and "address already in use" not in text:
        return error
    for port in orjson.loads(app.ports).values():
        if f":{port}" in text:
            who = await asyncio.to_thread(machine.holder, port)
            return machine.in_use(port, "udp" if "/udp" in text else "tcp", who)
    return Conflict("port_in_use", f"A port of {app.name} is in use: {text}")
