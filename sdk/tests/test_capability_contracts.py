"""The fakes keep the contracts that real providers keep, and a provider that does not is found out."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from cloudos_sdk import Permission, Role, Unauthenticated
from cloudos_sdk.capabilities import AppAddress, Apps, Authenticator, Metric, PermissionCatalogue, PlanSource
from cloudos_sdk.testing.contracts import (
    check_app_data,
    check_apps,
    check_authenticator,
    check_control_panel_link,
    check_metric_source,
    check_metrics,
    check_permission_catalogue,
    check_plan_source,
)
from cloudos_sdk.testing.fakes import (
    FakeAppData,
    FakeApps,
    FakeAuthenticator,
    FakeControlPanelLink,
    FakeMetrics,
    FakeMetricSource,
    FakePlanSource,
    providing,
    sample,
)

BLOG = AppAddress("app_1", "blog", "running", "127.0.0.1:8081")


async def test_the_fake_authenticator_keeps_the_contract():
    for role in Role:
        await check_authenticator(FakeAuthenticator(), authorization=f"Bearer {role}")


async def test_the_fake_apps_keep_the_contract():
    await check_apps(FakeApps())
    await check_apps(FakeApps(BLOG, AppAddress("app_2", "shop", "stopped", None)))


async def test_the_fake_app_data_keeps_the_contract():
    await check_app_data(FakeAppData())


async def test_the_fake_plan_and_link_keep_the_contract():
    await check_plan_source(FakePlanSource("business"))
    await check_control_panel_link(FakeControlPanelLink(True))


async def test_the_fake_metrics_keep_the_contract():
    metrics, now = FakeMetrics(), datetime(2026, 1, 1, tzinfo=UTC)
    check = asyncio.create_task(check_metrics(metrics))
    await asyncio.sleep(0)
    metrics.measure(now, sample("system.cpu.usage_percent", 12.5), sample("app.cpu.usage_percent", 3, app="blog"))
    await check
    again = asyncio.create_task(check_metrics(metrics))
    await asyncio.sleep(0)
    metrics.measure(now + timedelta(seconds=10), sample("system.cpu.usage_percent", 13))
    await again


async def test_the_fake_metric_source_keeps_the_contract():
    source = FakeMetricSource(Metric("shop.orders.open", "orders", "Orders that are open", ("shop",)))
    await check_metric_source(source)
    source.samples = [sample("shop.orders.open", 3, shop="north")]
    await check_metric_source(source)


async def test_the_catalogue_of_the_host_keeps_the_contract(cloudos):
    host = await cloudos("auth", settings={"auth": {"bcrypt_cost": 4}})
    catalogue = host.ctx("auth").use(PermissionCatalogue)
    assert catalogue.permissions()
    await check_permission_catalogue(catalogue)


async def test_a_fake_stands_in_for_a_plugin(cloudos):
    source = FakePlanSource()
    host = await cloudos(providing(PlanSource, source), providing(Apps, FakeApps(BLOG)))
    features = await (await host.client.get("/api/license/orbit-features")).get_json()
    assert features["plan"] == "community"
    source.plan = "pro"
    features = await (await host.client.get("/api/license/orbit-features")).get_json()
    assert features["plan"] == "pro"
    assert await host.ctx("fake_apps").use(Apps).find_app("app_1") == BLOG
    assert host.ctx("fake_apps").find(Authenticator) is not None


class LetsAnybodyIn(FakeAuthenticator):
    async def authenticate(self, credentials):
        return self.recognise("Bearer admin")


class ForgetsAtOnce(FakeAuthenticator):
    def recognise(self, authorization):
        return None

    async def authenticate(self, credentials):
        return FakeAuthenticator().recognise(credentials.authorization or "") or await super().authenticate(credentials)


class ShoutsItsCodes(FakeAuthenticator):
    async def authenticate(self, credentials):
        try:
            return await super().authenticate(credentials)
        except Unauthenticated:
            raise Unauthenticated("No.", code="TOKEN-INVALID") from None


@pytest.mark.parametrize(
    ("broken", "promise"),
    [(LetsAnybodyIn, "no credentials at all"), (ForgetsAtOnce, "from memory"), (ShoutsItsCodes, "snake_case")],
)
async def test_an_authenticator_that_breaks_a_promise_is_found_out(broken, promise):
    with pytest.raises(AssertionError, match=promise):
        await check_authenticator(broken(), authorization="Bearer admin")


async def test_an_authenticator_whose_revocation_does_nothing_is_found_out():
    async def revoke():
        return None

    with pytest.raises(AssertionError, match="still recognised"):
        await check_authenticator(FakeAuthenticator(), authorization="Bearer admin", revoke=revoke)


class Catalogue:
    def permissions(self):
        return {"blog:write": Permission("blog:write", "Write", Role.VIEWER), "blog:read": READ}


READ = Permission("blog:read", "Read", Role.ADMIN)


async def test_other_broken_providers_are_found_out():
    with pytest.raises(AssertionError, match="host:port"):
        await check_apps(FakeApps(AppAddress("app_1", "blog", "running", "http://127.0.0.1/")))
    with pytest.raises(AssertionError, match="one name"):
        await check_apps(FakeApps(BLOG, AppAddress("app_2", "blog", "running", None)))
    with pytest.raises(AssertionError, match="may not read"):
        await check_permission_catalogue(Catalogue())
    with pytest.raises(AssertionError, match="none of"):
        await check_plan_source(FakePlanSource("gold"))
    with pytest.raises(AssertionError, match="True or False"):
        await check_control_panel_link(FakeControlPanelLink(None))
