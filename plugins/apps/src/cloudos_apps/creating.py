"""A container as the engine wants it described."""

from __future__ import annotations

from typing import Any

from cloudos_apps.specs import ContainerSpec


def create_container(client: Any, spec: ContainerSpec) -> str:
    """Make a container without starting it, and return its id; `client` is the adapter's. Blocks."""
    cores = float(client.info()["NCPU"])
    host = client.create_host_config(
        binds=[f"{source}:{path}:{mode}" for source, path, mode in spec.binds],
        port_bindings={f"{inside}/{protocol}": (address, host) for inside, protocol, address, host in spec.ports},
        mem_limit=f"{spec.memory_mb}m",
        nano_cpus=int(min(spec.cpus, cores) * 1_000_000_000),
        restart_policy={"Name": spec.restart},
        security_opt=["no-new-privileges"],
        log_config={"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}},
        privileged=spec.privileged,
        cap_drop=None if spec.privileged else ["ALL"],
        cap_add=None if spec.privileged else list(spec.capabilities),
        pids_limit=spec.processes,
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
