"""What is measured, for Prometheus."""

from cloudos_sdk.capabilities import Metric, MetricSource, Sample
from cloudos_sdk.testing.fakes import providing
from measured import Lab
from prometheus_client.parser import text_string_to_metric_families


async def scrape(node):
    answer = await node.host.viewer.get("/metrics")
    assert answer.status_code == 200
    found = {family.name: family for family in text_string_to_metric_families(await answer.get_data(as_text=True))}
    assert found["cloudos_plugin_running"].samples, "what the host counts is there in any case"
    return found


async def test_the_newest_readings_are_gauges(system):
    lab = Lab(a=1.5, b=-2)
    node = await system(lab.plugin)
    await node.tick()
    found = await scrape(node)
    level = found["cloudos_lab_level"]
    assert (level.type, level.documentation) == ("gauge", "A level that a test sets. (units)")
    assert {sample.labels["tube"]: sample.value for sample in level.samples} == {"a": 1.5, "b": -2}
    assert found["cloudos_system_memory_usage_percent"].samples[0].value > 0
    mounts = [sample.labels["mount_point"] for sample in found["cloudos_system_disk_usage_percent"].samples]
    assert mounts == [disk["mount_point"] for disk in await node.get("/api/system/disks")]


async def test_readings_that_are_old_are_not_exposed(system):
    node = await system(Lab(a=1).plugin)
    await node.tick()
    node.host.clock._start = node.host.clock._start.replace(hour=3)
    assert "cloudos_lab_level" not in await scrape(node)


class Strange:
    def metrics(self):
        return [Metric("odd.one", "x", "Odd.", ("a-b",)), Metric("odd.two", "x", 'Quotes " and \\ and\nlines.', ("a",))]

    async def sample(self):
        return [Sample("odd.one", 1.0, (("a-b", "1"),)), Sample("odd.two", 2.0, (("a", 'x"\\\ny'),))]


async def test_strange_names_and_values_break_nothing(system):
    node = await system(providing(MetricSource, Strange()))
    await node.tick()
    found = await scrape(node)
    assert "cloudos_odd_one" not in found
    assert found["cloudos_odd_two"].samples[0].labels == {"a": 'x"\\\ny'}


async def test_who_may_not_read_metrics_does_not(system):
    node = await system()
    assert (await node.host.anonymous.get("/metrics")).status_code == 401
