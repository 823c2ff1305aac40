"""What the machine is and does now, as the reference prints it."""

import re
from pathlib import Path

import pytest
from cloudos_sdk.capabilities import AppAddress, Apps, Metric, MetricSource, Sample
from cloudos_sdk.testing.fakes import FakeApps, providing

PATHS = [
    "/api/system/metrics/current",
    "/api/system/metrics",
    "/api/system/metrics/stream",
    "/api/system/info",
    "/api/system/apps/metrics",
    "/api/system/disk/health",
    "/api/system/disks",
    "/api/system/network/interfaces",
    "/api/network/history?interface=lo",
]


def kernel(path):
    return Path(path).read_text()


def names(folder):
    return {path.name for path in Path(folder).iterdir() if path.is_dir()}


async def test_current_metrics_have_the_printed_shape(system):
    node = await system()
    await node.tick()
    found = await node.get("/api/system/metrics/current")
    assert {name: list(part) if isinstance(part, dict) else part for name, part in found.items()} == {
        "cpu": ["usage_percent", "cores", "model"],
        "memory": ["total_mb", "used_mb", "usage_percent"],
        "disk": ["total_gb", "used_gb", "usage_percent"],
        "uptime_seconds": found["uptime_seconds"],
    }
    memory, cpu = found["memory"], found["cpu"]
    assert memory["usage_percent"] == pytest.approx(memory["used_mb"] / memory["total_mb"] * 100, abs=0.2)
    assert 0 <= cpu["usage_percent"] <= 100 and cpu["model"]
    assert cpu["cores"] == len(re.findall(r"^processor", kernel("/proc/cpuinfo"), re.MULTILINE))
    up = float(kernel("/proc/uptime").split()[0])
    assert abs(found["uptime_seconds"] - up) < 5
    whole = (found["uptime_seconds"], memory["total_mb"], memory["used_mb"], found["disk"]["total_gb"])
    assert all(isinstance(value, int) for value in whole)


async def test_current_metrics_are_there_before_the_second_reading(system):
    node = await system()
    await node.first_tick()
    assert 0 <= (await node.get("/api/system/metrics/current"))["cpu"]["usage_percent"] <= 100


async def test_info_has_the_printed_shape_and_an_id_that_stays(system):
    node = await system()
    found = await node.get("/api/system/info")
    assert list(found) == [
        "hostname", "os", "kernel", "architecture", "quazzar_version", "uptime_seconds", "node_id",
    ]  # fmt: skip
    assert re.fullmatch(r"node_[a-z2-9]{13}", found["node_id"])
    assert found["kernel"] == kernel("/proc/sys/kernel/osrelease").strip()
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", found["quazzar_version"])
    await node.host.restart()
    assert (await node.get("/api/system/info"))["node_id"] == found["node_id"]


async def test_a_node_id_that_a_crash_cut_short_is_made_anew(system):
    from cloudos_system.machine.node_identity import node_id

    node = await system()
    folder = node.host.ctx("system").data_dir
    (folder / "node_id").write_text("nod")
    (folder / "node_id.new").write_text("node_half")
    made = node_id(folder)
    assert re.fullmatch(r"node_[a-z2-9]{13}", made) and node_id(folder) == made


async def test_disks_have_the_printed_shape(system):
    node = await system()
    for disk in await node.get("/api/system/disks"):
        assert list(disk) == [
            "device", "mount_point", "fs_type", "total_bytes", "used_bytes", "free_bytes", "usage_percent",
        ]  # fmt: skip
        assert disk["fs_type"] in {"ext4", "xfs", "btrfs", "zfs", "f2fs", "vfat"}
        assert disk["used_bytes"] + disk["free_bytes"] <= disk["total_bytes"]


async def test_interfaces_are_those_of_the_kernel(system):
    node = await system()
    found = {one["name"]: one for one in await node.get("/api/system/network/interfaces")}
    assert set(found) == names("/sys/class/net")
    lo = found["lo"]
    assert lo["is_loopback"] and lo["is_up"] and lo["speed_mbps"] is None
    assert {"family": "ipv4", "address": "127.0.0.1", "netmask": "255.0.0.0"} in lo["addresses"]
    for name, one in found.items():
        assert one["mtu"] == int(kernel(f"/sys/class/net/{name}/mtu"))


@pytest.mark.parametrize("path", PATHS)
async def test_viewers_read_and_strangers_do_not(system, path):
    node = await system()
    assert (await node.host.anonymous.get(path)).status_code == 401
    if not path.endswith("stream"):
        await node.get(path)


class AppsMeasured:
    """A source as the apps plugin has one."""

    values = {
        "app.cpu.usage_percent": 12.5,
        "app.memory.usage_mb": 64.0,
        "app.network.rx_bytes_per_sec": 1000.0,
        "app.network.tx_bytes_per_sec": 500.0,
        "app.restarts": 2.0,
    }

    def metrics(self):
        return [Metric(name, "unit", "One of an app's.", ("app",)) for name in self.values]

    async def sample(self):
        return [Sample(name, value, (("app", "app_1"),)) for name, value in self.values.items()]


async def test_apps_are_shown_together_and_one_by_one(system):
    blog, shop = AppAddress("app_1", "blog", "running", "127.0.0.1:81"), AppAddress("app_2", "shop", "stopped", None)
    node = await system(providing(Apps, FakeApps(blog, shop)), providing(MetricSource, AppsMeasured()))
    tick = await node.tick()
    found = await node.get("/api/system/apps/metrics")
    assert found["measured_at"] == tick.time.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert found["total"] == {
        "apps": 2,
        "running": 1,
        "cpu_percent": 12.5,
        "memory_usage_mb": 64.0,
        "network_rx_bytes_per_sec": 1000.0,
        "network_tx_bytes_per_sec": 500.0,
        "restarts": 2,
    }
    running, stopped = found["apps"]
    assert (running["app_id"], running["cpu_percent"], running["restarts"]) == ("app_1", 12.5, 2)
    assert (stopped["name"], stopped["status"], stopped["cpu_percent"]) == ("shop", "stopped", None)
    history = await node.history("range=1h&metric=app.memory.usage_mb&label=app:app_1")
    assert list(history["series"]) == [("app_1",)]


async def test_without_a_plugin_for_apps_there_are_none(system):
    node = await system()
    found = await node.get("/api/system/apps/metrics")
    assert found["apps"] == [] and found["total"]["apps"] == 0
