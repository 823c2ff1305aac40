"""The traffic of an interface in the fixed buckets of the reference."""

from datetime import datetime

import pytest
from measured import Lab

BUCKETS = {"5m": (10, 30), "15m": (30, 30), "1h": (60, 60), "6h": (300, 72), "24h": (900, 96)}


async def ask(node, range_, interface="test0"):
    return await node.get(f"/api/network/history?interface={interface}&range={range_}")


def traffic(found):
    """Return the buckets that had any, by their time."""
    points = found["points"]
    return {p["ts"][11:19]: (p["rx_bytes_per_sec"], p["tx_bytes_per_sec"]) for p in points if p["rx_bytes_per_sec"]}


@pytest.fixture
async def lab_node(system):
    lab = Lab()
    node = await system(lab.plugin)
    await node.first_tick()
    return node, lab


@pytest.mark.parametrize("range_", BUCKETS)
async def test_the_shape_is_the_printed_one_and_silence_is_zeros(lab_node, range_):
    node, lab = lab_node
    lab.traffic(1000.4, 500.6)
    await node.tick(7)
    found = await ask(node, range_)
    seconds, count = BUCKETS[range_]
    assert {name: found[name] for name in found if name != "points"} == {
        "interface": "test0",
        "range": range_,
        "bucket_seconds": seconds,
    }
    times = [datetime.fromisoformat(point["ts"]).timestamp() for point in found["points"]]
    assert len(times) == count and times[-1] % seconds == 0
    assert times == [times[0] + seconds * number for number in range(count)]
    assert found["points"][0] == {"ts": found["points"][0]["ts"], "rx_bytes_per_sec": 0, "tx_bytes_per_sec": 0}
    assert found["points"][-1]["rx_bytes_per_sec"] == 1000
    assert found["points"][-1]["tx_bytes_per_sec"] == 501
    assert all(isinstance(p[name], int) for p in found["points"] for name in ("rx_bytes_per_sec", "tx_bytes_per_sec"))


async def test_the_default_range_is_an_hour(lab_node):
    node, _ = lab_node
    assert (await node.get("/api/network/history?interface=lo"))["range"] == "1h"


async def test_each_bucket_has_the_mean_of_its_readings(lab_node):
    node, lab = lab_node
    for rate in (100, 200, 300, 400, 500, 600, 60):
        lab.traffic(rate, rate)
        await node.tick()
    ten, thirty, minutes = await ask(node, "5m"), await ask(node, "15m"), await ask(node, "1h")
    assert traffic(ten)["00:00:20"] == (300, 300) and traffic(ten)["00:01:00"] == (60, 60)
    assert traffic(thirty)["00:00:30"] == (500, 500)
    assert traffic(minutes) == {"00:00:00": (350, 350), "00:01:00": (60, 60)}
    await node.settled()
    assert traffic(await ask(node, "1h")) == traffic(minutes)


async def test_a_reading_that_is_missing_is_a_zero_in_short_buckets_and_no_share_of_long_ones(lab_node):
    node, lab = lab_node
    lab.traffic(600, 600)
    await node.tick(2)
    lab.values.clear()
    await node.tick(2)
    lab.traffic(600, 600)
    await node.tick(3)
    short = (await ask(node, "5m"))["points"]
    assert [point["rx_bytes_per_sec"] for point in short[-7:]] == [600, 600, 0, 0, 600, 600, 600]
    assert traffic(await ask(node, "1h"))["00:00:00"] == (600, 600)


async def test_after_a_restart_short_ranges_show_the_minutes_that_were_kept(lab_node):
    node, lab = lab_node
    lab.traffic(900, 90)
    await node.tick(12)
    await node.host.restart()
    await node.first_tick()
    await node.tick(3)
    found = traffic(await ask(node, "5m"))
    assert list(found.values()) == [(900, 90)] * 15


async def test_an_interface_that_carried_nothing_is_all_zeros(lab_node):
    node, _ = lab_node
    found = await ask(node, "6h", "eth77")
    assert len(found["points"]) == 72 and traffic(found) == {}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("", "interface"),
        ("?interface=", "interface"),
        ("?interface=a/b", "interface"),
        ("?interface=a%20b", "interface"),
        ("?interface=lo&range=7d", "range"),
        ("?interface=lo&range=", "range"),
        ("?interface=lo&bucket=1", "bucket"),
    ],
)
async def test_a_missing_interface_and_an_invalid_range_are_400(lab_node, query, field):
    node, _ = lab_node
    problem = await node.get(f"/api/network/history{query}", 400)
    assert problem["error"] == "invalid_request" and problem["fields"][0]["path"] == field
