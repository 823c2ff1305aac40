"""Fakes of capabilities. Each passes the checks of `contracts.py`, as the real provider does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

from cloudos_sdk import Conflict, Manifest, Principal, Role, Unauthenticated, hookimpl
from cloudos_sdk.capabilities import AppAddress, AppContents, Credentials, Hold, Making, Metric, Sample, Tick


class FakeAuthenticator:
    """Knows the bearers `admin`, `operator` and `viewer`."""

    def recognise(self, authorization: str) -> Principal | None:
        """Return the person of that role."""
        scheme, _, role = authorization.partition(" ")
        if scheme != "Bearer" or role not in list(Role):
            return None
        return Principal("user", f"usr_{role}", role, Role(role), f"usr_{role}")

    async def authenticate(self, credentials: Credentials) -> Principal | None:
        """Return the person of that role; refuse any other header; None without one."""
        if credentials.authorization is None:
            return None
        known = self.recognise(credentials.authorization)
        if known is None:
            raise Unauthenticated("This token does not hold.", code="token_invalid")
        return known


class FakeUsers:
    """Users that a test sets: `users.set("usr_viewer", None)` notifies the watchers."""

    def __init__(self, *people: Principal) -> None:
        known = people or tuple(Principal("user", f"usr_{role}", role, role, f"usr_{role}") for role in Role)
        self._people = {person.user_id: person for person in known}
        self._watching: list[Callable[[str], None]] = []

    def find(self, user_id: str) -> Principal | None:
        """Return a user as of now, or None."""
        return self._people.get(user_id)

    def watch(self, changed: Callable[[str], None]) -> Callable[[], None]:
        """Call `changed` after each change; return a function that unsubscribes."""
        self._watching.append(changed)
        return lambda: self._watching.remove(changed)

    def set(self, user_id: str, person: Principal | None) -> None:
        """Change a user; None deletes or disables."""
        if person is None:
            self._people.pop(user_id, None)
        else:
            self._people[user_id] = person
        for changed in list(self._watching):
            changed(user_id)


class FakeApps:
    """Apps that a test puts in and changes: `FakeApps(AppAddress("app_1", "blog", "running", "127.0.0.1:80"))`."""

    def __init__(self, *apps: AppAddress) -> None:
        self.apps = {app.id: app for app in apps}

    async def list_apps(self) -> Sequence[AppAddress]:
        """Return the apps in the order in which they were put in."""
        return list(self.apps.values())

    async def find_app(self, app_id: str) -> AppAddress | None:
        """Return one app, or None."""
        return self.apps.get(app_id)


class FakeAppData:
    """Apps whose folders a test made: `data.put(AppContents(…))`; `held` says how each is held now.

    A dump is the text `dump of <service>`, or what the test puts into `dumps[app_id, name]`; `loaded` has what was
    read.
    """

    def __init__(self, *apps: AppContents) -> None:
        self.apps = {app.id: app for app in apps}
        self.held: dict[str, Hold] = {}
        self.holds: list[tuple[str, Hold]] = []
        self.dumps: dict[tuple[str, str], str] = {}
        self.loaded: dict[tuple[str, str], str] = {}
        self.unwell: set[str] = set()

    def put(self, app: AppContents) -> None:
        """Add an app, or change one."""
        self.apps[app.id] = app

    async def contents(self, app_id: str) -> AppContents | None:
        """Return what a test put in."""
        return self.apps.get(app_id)

    async def hold(self, app_id: str, how: Hold) -> None:
        """Note how it is held."""
        self.held[app_id] = how
        self.holds.append((app_id, how))

    async def let_go(self, app_id: str, *, wait: bool = False) -> None:
        """Note that it is not held; raise for one that the test made `unwell`."""
        self.held.pop(app_id, None)
        if wait and app_id in self.unwell:
            raise Conflict("app_not_healthy", f"{app_id} does not become healthy.")

    async def dump(self, app_id: str, name: str, path: str) -> None:
        """Write a dump."""
        dump = next(dump for dump in self.apps[app_id].dumps if dump.name == name)
        text = self.dumps.get((app_id, name), f"dump of {dump.service}")
        await asyncio.to_thread(Path(path).write_text, text)

    async def load(self, app_id: str, name: str, path: str) -> None:
        """Read a dump."""
        self.loaded[app_id, name] = await asyncio.to_thread(Path(path).read_text)

    async def check(self, definition: str, app_id: str, making: Making | None) -> Sequence[str]:
        """Allow everything."""
        return []

    async def make(
        self, definition: str, name: str, *, app_id: str, making: Making, rights: Sequence[str]
    ) -> AppContents:
        """Refuse: a test that makes apps has a real engine."""
        raise Conflict("not_made", "The fake makes no apps.")

    async def prepare(self, app_id: str) -> AppContents:
        """Return what a test put in, with its folders there."""
        for folder in self.apps[app_id].folders:
            await asyncio.to_thread(Path(folder.path).mkdir, parents=True, exist_ok=True)
        return self.apps[app_id]

    async def define(self, app_id: str, definition: str) -> str:
        """Change the definition; return the one of before."""
        before = self.apps[app_id].definition
        self.apps[app_id] = replace(self.apps[app_id], definition=definition)
        return before

    async def remove(self, app_id: str) -> None:
        """Forget an app."""
        self.apps.pop(app_id, None)


class FakePlanSource:
    """A plan that a test sets: `source.plan = "pro"` holds on the next request."""

    def __init__(self, plan: str = "community") -> None:
        self.plan = plan

    def current_plan(self) -> str:
        """Return the plan."""
        return self.plan


class FakeControlPanelLink:
    """A link that a test joins and cuts: `link.joined = True`."""

    def __init__(self, joined: bool = False) -> None:
        self.joined = joined

    def connected(self) -> bool:
        """Return whether it is connected."""
        return self.joined


_METRICS = (
    Metric("system.cpu.usage_percent", "percent", "Use of the processor"),
    Metric("system.memory.usage_percent", "percent", "Memory in use"),
    Metric("system.disk.usage_percent", "percent", "Space in use of a filesystem", ("mount_point",)),
    Metric("app.cpu.usage_percent", "percent", "Use of the processor by an app", ("app",)),
)


def sample(name: str, value: float, **labels: str) -> Sample:
    """Return a sample: `sample("app.cpu.usage_percent", 12.5, app="blog")`."""
    return Sample(name, value, tuple(sorted(labels.items())))


class FakeMetrics:
    """Metrics that a test sets: `metrics.measure(clock.now(), sample(...))`."""

    def __init__(self, *metrics: Metric) -> None:
        self._metrics = tuple(sorted(metrics or _METRICS, key=lambda metric: metric.name))
        self._latest: Tick | None = None
        self._readers: set[asyncio.Queue[Tick]] = set()

    def measure(self, time: datetime, *samples: Sample) -> None:
        """Send a tick to every reader; a reader that has not taken the previous one misses it."""
        self._latest = tick = Tick(time, samples)
        for queue in self._readers:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(tick)

    def metrics(self) -> Sequence[Metric]:
        """Return the metrics by name."""
        return self._metrics

    def latest(self) -> Tick | None:
        """Return the newest tick; None before the first."""
        return self._latest

    async def ticks(self) -> AsyncIterator[Tick]:
        """Yield each tick from now on."""
        queue: asyncio.Queue[Tick] = asyncio.Queue(1)
        self._readers.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._readers.discard(queue)


class FakeMetricSource:
    """A source of series that a test sets: `source.samples = [sample("shop.orders.open", 3)]`."""

    def __init__(self, *metrics: Metric) -> None:
        self._metrics = metrics
        self.samples: list[Sample] = []

    def metrics(self) -> Sequence[Metric]:
        """Return the metrics."""
        return self._metrics

    async def sample(self) -> Sequence[Sample]:
        """Return the samples in force."""
        return list(self.samples)


def providing(capability: type[Any], implementation: Any) -> ModuleType:
    """Return a plugin that gives others `implementation`: `cloudos` takes it beside the one under test."""
    module: Any = ModuleType(f"fake_{capability.__name__.lower()}")

    @hookimpl
    @asynccontextmanager
    async def cloudos_lifespan(ctx: Any) -> AsyncIterator[None]:
        ctx.provide(capability, implementation)
        yield

    module.manifest = Manifest(title=f"Fake {capability.__name__}", provides=(capability,))
    module.cloudos_lifespan = cloudos_lifespan
    found: ModuleType = module
    return found
