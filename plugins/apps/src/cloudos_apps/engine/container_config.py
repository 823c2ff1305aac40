"""A container as the engine wants it described."""

from __future__ import annotations

from typing import Any

from cloudos_apps.engine.specs import ContainerSpec
from cloudos_apps.templates.model.services import HealthCheck


def create_container(client: Any, spec: ContainerSpec) -> str:
    """Make a container without starting it, and return its id; `client` is the adapter's. Blocks."""
    cores = float(client.info()["NCPU"])
    host = client.create_host_config(
        binds=[f"{source}:{path}:{mode}" for source, path, mode in spec.binds],
        port_bindings={f"{inside}/{protocol}": (address, host) for inside, protocol, address, host in spec.ports},
        mem_limit=_megabytes(spec.memory_mb),
        mem_reservation=_megabytes(spec.memory_reservation_mb),
        nano_cpus=int(min(spec.cpus, cores) * 1_000_000_000) if spec.cpus is not None else None,
        restart_policy={"Name": spec.restart, "MaximumRetryCount": spec.restart_retries or 0},
        security_opt=["no-new-privileges"],
        log_config={"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}},
        privileged=spec.privileged,
        cap_drop=None if spec.privileged else ["ALL"],
        cap_add=None if spec.privileged else list(spec.capabilities),
        pids_limit=spec.processes,
        devices=list(spec.devices),
        shm_size=_megabytes(spec.shm_size_mb),
        network_mode="host" if spec.host_network else spec.network,
    )
    network = None
    if not spec.host_network:
        endpoint = client.create_endpoint_config(aliases=[spec.alias, *spec.other_aliases])
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


def _megabytes(given: int | None) -> str | None:
    return f"{given}m" if given else None


def health_check(check: HealthCheck | None) -> dict[str, Any] | None:
    """Return a health check as the engine wants it; None is the image's own."""
    if check is None:
        return None
    if check.test == ("NONE",):
        return {"Test": ["NONE"]}
    return {
        "Test": list(check.test),
        "Interval": int(check.interval_s * 1e9),
        "Timeout": int(check.timeout_s * 1e9),
        "Retries": check.retries,
        "StartPeriod": int(check.start_period_s * 1e9),
    }
