"""Disk health: what each disk says of itself, or why it does not."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cloudos_system.disks import smartctl as adapter
from cloudos_system.disks.health import DiskChecks
from cloudos_system.disks.physical_disks import PhysicalDisk, physical_disks
from cloudos_system.disks.smart_report import read_report
from cloudos_system.machine.system_source import SystemSource

RECORDINGS = Path(__file__).parent / "recordings"


def recorded(name):
    return json.loads((RECORDINGS / f"{name}.json").read_text())


@pytest.mark.parametrize(
    ("name", "status", "model", "temperature", "hours", "wear"),
    [
        ("nvme-qemu", "passed", "QEMU NVMe Ctrl", 50, 0, 0),
        ("ata-qemu", "passed", "QEMU HARDDISK", 31, 1, None),
        ("nvme-failing-qemu", "failing", "QEMU NVMe Ctrl", 50, 0, 0),
        ("sata-hdd", "passed", "Example HDD 500", 35, 25031, None),
        ("sata-hdd-hot-once", "passed", "Example HDD 500", 35, 25031, None),
        ("sata-hdd-failing", "failing", "Example HDD 500", 41, 40120, None),
        ("sata-hdd-prefail", "failing", "Example HDD 500", 41, 40120, None),
        ("sata-ssd", "passed", "Example SSD 500", 32, 11250, 12),
        ("sata-ssd-endurance", "passed", "Example SSD 500", 32, 11250, 37),
        ("sas-hdd", "passed", "EXAMPLE SAS900", 38, 31000, None),
    ],
)
def test_a_report_is_read(name, status, model, temperature, hours, wear):
    found = read_report(recorded(name))
    assert (found.status, found.model) == (status, model)
    assert (found.temperature_c, found.power_on_hours, found.wear_percent) == (temperature, hours, wear)
    assert found.serial
    assert (found.reason is None) == (status == "passed")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nvme-failing-qemu", "its reliability is degraded"),
        ("sata-hdd-failing", "foretells its failure: Reallocated_Sector_Ct"),
        ("sata-hdd-prefail", "below its threshold: Reallocated_Sector_Ct"),
        ("virtio-disk", "no SMART"),
        ("no-smart", "no SMART"),
        ("switched-off", "smartctl -s on"),
        ("no-permission", "run Cloud OS as root"),
        ("usb-bridge", "USB adapter"),
        ("asleep", "sleeps"),
    ],
)
def test_the_reason_says_what_is_wrong_and_what_to_do(name, reason):
    found = read_report(recorded(name))
    assert found.status == ("failing" if "fail" in name else "unknown")
    assert reason in found.reason


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"smartctl": None, "smart_status": [], "temperature": "hot", "ata_smart_attributes": {"table": [1, {}]}},
        {"smartctl": {"messages": ["x", {"string": 5}], "exit_status": "8"}, "power_on_time": {"hours": None}},
    ],
)
def test_a_report_of_another_form_is_unknown_and_no_error(odd):
    found = read_report(odd)
    assert found.status == "unknown" and found.reason


class Bench:
    """Disks in place of the machine's, and a program that answers for them with recordings."""

    def __init__(self, folder):
        self.folder = folder
        self.program = folder / "smartctl"
        self.program.write_text(f'#!/bin/sh\nfor last; do :; done\ncat "{folder}/${{last##*/}}.json"\nexit 0\n')
        self.program.chmod(0o755)
        self.disks = [PhysicalDisk("sda", "hdd", "MODEL", 10**12), PhysicalDisk("nvme0n1", "nvme", None, 10**11)]
        self.says("sda", "sata-hdd")
        self.says("nvme0n1", "nvme-qemu")

    def says(self, disk, name):
        (self.folder / f"{disk}.json").write_text(json.dumps(recorded(name)))


@pytest.fixture
async def bench(system, tmp_path):
    node = await system()
    ctx = node.host.ctx("system")
    made = Bench(tmp_path)
    with ThreadPoolExecutor(1) as threads:
        made.checks = DiskChecks(str(made.program), ctx.clock, ctx.log, threads, lambda: made.disks)
        made.source = SystemSource(made.checks.reports, threads)
        made.clock, made.node = ctx.clock, node
        yield made


async def failing(bench):
    return {s.labels: s.value for s in await bench.source.sample() if s.name == "system.disk.failing"}


async def test_a_disk_that_begins_to_fail_shows_in_the_list_and_as_a_metric(bench):
    sda, nvme = await bench.checks.health()
    assert (sda.device, sda.status, sda.reason, sda.serial) == ("/dev/sda", "passed", None, "HDD0001")
    assert (nvme.status, nvme.temperature_c, nvme.wear_percent) == ("passed", 50, 0)
    assert await failing(bench) == {(("disk", "sda"),): 0, (("disk", "nvme0n1"),): 0}
    bench.says("nvme0n1", "nvme-failing-qemu")
    await bench.checks.check()
    _, nvme = await bench.checks.health()
    assert nvme.status == "failing" and "degraded" in nvme.reason
    assert await failing(bench) == {(("disk", "sda"),): 0, (("disk", "nvme0n1"),): 1}


async def test_disks_are_not_asked_again_for_five_minutes(bench):
    await bench.checks.health()
    bench.says("sda", "sata-hdd-failing")
    assert (await bench.checks.health())[0].status == "passed"
    await bench.clock.advance(301)
    assert (await bench.checks.health())[0].status == "failing"


async def test_a_disk_that_sleeps_keeps_what_it_said_before(bench):
    await bench.checks.check()
    bench.says("sda", "asleep")
    await bench.checks.check()
    assert (await bench.checks.health())[0].status == "passed"


async def test_a_disk_of_which_nothing_is_known_has_no_metric(bench):
    bench.says("sda", "no-permission")
    await bench.checks.check()
    assert await failing(bench) == {(("disk", "nvme0n1"),): 0}


async def test_a_missing_program_a_broken_one_and_a_slow_one_are_told(bench, monkeypatch):
    for script, reason in (("#!/bin/sh\necho not json\n", "no report"), ("#!/nowhere\n", "cannot be run")):
        bench.program.write_text(script)
        await bench.checks.check()
        assert reason in (await bench.checks.health())[0].reason
    monkeypatch.setattr(adapter, "_LIMIT", 0.3)
    bench.program.write_text("#!/bin/sh\nexec sleep 5\n")
    await bench.checks.check()
    assert "did not answer" in (await bench.checks.health())[0].reason
    bench.program.unlink()
    await bench.checks.check()
    assert "apt-get install smartmontools" in (await bench.checks.health())[0].reason


async def test_the_disks_of_this_machine_are_asked_for_real(system, smartctl):
    node = await system(smartctl=smartctl)
    found = await node.get("/api/system/disk/health")
    assert [one["device"] for one in found] == [disk.device for disk in physical_disks()]
    for disk in found:
        assert list(disk) == [
            "device", "kind", "model", "serial", "size_bytes", "status", "reason", "temperature_c",
            "power_on_hours", "wear_percent", "checked_at",
        ]  # fmt: skip
        assert disk["status"] in ("passed", "failing", "unknown")
        assert (disk["reason"] is None) == (disk["status"] == "passed")
        report = read_report(await asyncio.to_thread(adapter.ask, smartctl, disk["device"]))
        assert report.status == disk["status"], "as smartctl says it"
    assert adapter.version(smartctl).startswith("smartctl 7")


async def test_a_failing_disk_makes_the_plugin_unwell(bench):
    from cloudos_system.plugin import cloudos_health

    ctx = bench.node.host.ctx("system")
    checks = ctx.use(DiskChecks)
    checks._program, checks._disks = str(bench.program), lambda: bench.disks
    bench.says("sda", "sata-hdd-failing")
    await bench.node.host.run_job("system", "check-disks")
    health = await cloudos_health(ctx)
    assert not health.ok and health.detail.startswith("Failing: sda")


def test_physical_disks_are_told_from_what_only_looks_like_them(tmp_path):
    def block(name, *, device=True, size="1000", **files):
        folder = tmp_path / name
        (folder / "queue").mkdir(parents=True)
        (folder / "size").write_text(size)
        if device:
            (folder / "device").mkdir()
        for path, content in files.items():
            (folder / path.replace("__", "/")).write_text(content)

    block("sda", queue__rotational="1", device__model="BIG DISK \n")
    block("sdb", queue__rotational="0")
    block("nvme0n1")
    block("nvme0c0n1", hidden="1")
    block("mmcblk0", device__name="SD16G")
    block("vda")
    for name in ("loop0", "zram0", "dm-0", "md127"):
        block(name, device=False)
    block("sr0")
    block("mmcblk0boot0")
    block("sdc", size="0")
    found = [(disk.name, disk.kind, disk.model, disk.size_bytes) for disk in physical_disks(tmp_path)]
    assert found == [
        ("mmcblk0", "sd_card", "SD16G", 512_000),
        ("nvme0n1", "nvme", None, 512_000),
        ("sda", "hdd", "BIG DISK", 512_000),
        ("sdb", "ssd", None, 512_000),
        ("vda", "virtual", None, 512_000),
    ]
    assert physical_disks(tmp_path / "nothing") == []
