"""A node on the tests' own Docker Engine, and templates whose images were made on the spot."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from cloudos_apps.consent.host_paths import HostPaths
from cloudos_apps.consent.programs import program_rights
from cloudos_apps.consent.rights import RequestedRight, rights_of, texts_of
from cloudos_apps.templates.catalog import TemplateCatalog
from cloudos_apps.templates.model.template import Template

CHECK = {"test": ["CMD", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8000/"], "interval_s": 1, "retries": 3}
GREETING = {"name": "greeting", "default": "web"}
PASSWORD = {"name": "password", "type": "password", "secret": True, "generate": True}
SMALL = {"memory_mb": 64, "cpus": 0.5}


def make_template(name: str, *services: dict[str, Any], **more: Any) -> Template:
    """Return a template of one or more small services."""
    about = {"name": name, "display_name": name.title(), "category": "tests", "version": "1.0"}
    return Template.model_validate({**about, "services": [{**SMALL, **service} for service in services], **more})


def dangers(template: Template) -> list[str]:
    """Return what a template asks for beyond its own containers, on a machine with nothing of ours on it."""
    paths = HostPaths(Path("/nonexistent/files"), "unix:///run/docker.sock", Path("/nonexistent"))
    return sorted({right.danger for right in rights_of(template, {}, paths)})


class Node:
    """A host with the apps plugin; its templates are those of the tests."""

    def __init__(self, host: Any, engine: Any) -> None:
        self.host = host
        self.engine = engine
        self.templates: dict[str, Template] = {}
        self.client, self.operator, self.viewer = host.client, host.operator, host.viewer

    def offer(self, *templates: Template) -> None:
        """Put templates into the catalogue, also after a restart."""
        self.templates |= {template.name: template for template in templates}
        self.host.ctx("apps").use(TemplateCatalog).put_source("tests", self.templates)

    def programs(self, name: str = "reaching") -> list[str]:
        """Return what is asked for beside any right that only an admin may allow: what the template runs."""
        return texts_of(program_rights(self.templates[name], "tests:tests", [RequestedRight("x", "privileged")]))

    async def restart_clients(self) -> None:
        """Take up the clients of a host that was started again, and give it the templates."""
        self.client, self.operator, self.viewer = self.host.client, self.host.operator, self.host.viewer
        self.offer()

    async def well(self) -> bool:
        """Ask the plugin how it is."""
        from cloudos_apps.plugin import cloudos_health

        return bool((await cloudos_health(self.host.ctx("apps"))).ok)

    async def post(self, body: dict[str, Any], client: Any = None) -> tuple[int, Any]:
        """Ask for an app; return status and body. Whoever allows something allows what is run with it too."""
        if body.get("allow") and body["template"] in self.templates:
            body = {**body, "allow": [*body["allow"], *self.programs(body["template"])]}
        answer = await (client or self.client).post("/api/apps", json=body)
        return answer.status_code, await answer.get_json()

    async def install(self, template: str = "web", name: str = "blog", **body: Any) -> dict[str, Any]:
        """Install an app and wait until it runs."""
        status, app = await self.post({"template": template, "name": name, **body})
        assert status == 201, app
        return await self.until(app["id"], "running")

    async def app(self, app_id: str) -> Any:
        """Return an app as the API shows it."""
        return await (await self.client.get(f"/api/apps/{app_id}")).get_json()

    async def until(self, app_id: str, *statuses: str, seconds: float = 20) -> dict[str, Any]:
        """Wait until an app has one of the statuses."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            app: dict[str, Any] = await self.app(app_id)
            if app.get("status") in statuses:
                return app
            if app.get("status") == "failed":
                break
            await asyncio.sleep(0.05)
        raise AssertionError(f"never became {' or '.join(statuses)}: {app}")

    async def operation(self, operation_id: str, seconds: float = 20) -> dict[str, Any]:
        """Wait for the end of an operation and return it."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = await (await self.client.get(f"/api/operations/{operation_id}")).get_json()
            if found["state"] not in ("queued", "running"):
                return dict(found)
            await asyncio.sleep(0.05)
        raise AssertionError(f"the operation does not end: {found}")

    async def events(self, *types: str) -> list[Any]:
        """Return the stored events, of these types."""
        return [event for event in await self.host.event_log() if not types or event.type in types]

    async def event(self, type: str, seconds: float = 10) -> Any:
        """Wait for the first event of a type."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := await self.events(type):
                return found[0]
            await asyncio.sleep(0.05)
        raise AssertionError(f"no {type}: {[event.type for event in await self.events()]}")

    def containers(self, app_id: str | None = None) -> list[str]:
        """Return the names of the containers that there are."""
        label = f"label=cloudos.app={app_id}" if app_id else "label=cloudos.app"
        return sorted(self.engine.names("ps", "-a", "--filter", label, "--format", "{{.Names}}"))

    async def some_containers(self, app_id: str) -> None:
        """Wait until an app has containers."""
        end = time.monotonic() + 10
        while not self.containers(app_id):
            assert time.monotonic() < end
            await asyncio.sleep(0.05)

    def volumes(self) -> list[str]:
        """Return the names of the volumes that there are."""
        return sorted(self.engine.names("volume", "ls", "-q", "--filter", "label=cloudos.app"))

    def debris(self) -> list[str]:
        """Return everything that carries our labels."""
        networks = self.engine.names("network", "ls", "-q", "--filter", "label=cloudos.app")
        return [*self.containers(), *networks, *self.volumes()]

    async def fetch(self, app: dict[str, Any], seconds: float = 5) -> str:
        """Ask the app itself, on its own port."""
        return await asyncio.to_thread(_fetch, app["addr"], seconds)


def _fetch(addr: str, seconds: float) -> str:
    import urllib.error
    import urllib.request

    end = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(f"http://{addr}/", timeout=2) as answer:
                return str(answer.read().decode().strip())
        except (urllib.error.URLError, OSError):
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def web_template(engine: Any, version: str = "1.0", image: str = "web:1.0", **more: Any) -> Template:
    """Return a web server with a volume, a check, a greeting and a generated password."""
    service = {
        "name": "web",
        "image": engine.image(image),
        "ports": [{"name": "http", "container": 8000}],
        "volumes": [{"name": "data", "path": "/data"}],
        "environment": {"GREETING": "${config.greeting}", "PASSWORD": "${secret.password}"},
        **more,
    }
    return make_template("web", service, web_port="http", config=[GREETING, PASSWORD], version=version)
