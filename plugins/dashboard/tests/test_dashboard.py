"""Layouts as the reference prints them, and one winner of many who save at once."""

import asyncio

import pytest

PATH = "/api/profile/dashboard"
LAYOUT = [
    {"id": "cpu", "x": 0, "y": 0, "w": 2, "h": 1},
    {"id": "ram", "x": 2, "y": 0, "w": 2, "h": 1},
    {"id": "network", "x": 0, "y": 1, "w": 4, "h": 2},
]


@pytest.fixture
async def node(cloudos):
    return await cloudos("dashboard")


async def ask(client, method="GET", path=PATH, kind="server", **kwargs):
    answer = await client.request(method, f"{path}?type={kind}" if kind else path, **kwargs)
    return answer.status_code, await answer.get_json()


async def save(client, version, layout=LAYOUT, kind="server"):
    return await ask(client, "PUT", kind=kind, json={"version": version, "layout": layout})


def widget(id, **place):
    return {"id": id, "x": 0, "y": 0, "w": 1, "h": 1} | place


async def test_a_saved_layout_comes_back_as_the_reference_prints_it(node):
    assert await save(node.client, 0) == (200, {"type": "server", "version": 1})
    assert await ask(node.client) == (200, {"type": "server", "version": 1, "layout": LAYOUT})


async def test_before_the_first_save_there_is_a_sound_default_at_version_0(node):
    for kind in ("server", "personal"):
        status, found = await ask(node.viewer, kind=kind)
        assert (status, found["type"], found["version"]) == (200, kind, 0)
        assert found["layout"]
        assert (await save(node.client, 0, found["layout"], kind))[0] == 200


async def test_a_stale_version_is_refused_with_the_current_one(node):
    for version in range(3):
        await save(node.client, version)
    problem = {
        "error": "stale_version",
        "current_version": 3,
        "message": "Layout was updated from another device. Reload and retry.",
    }
    for version in (0, 2, 4, 2**31 - 2):
        assert await save(node.client, version) == (409, problem)
    assert (await ask(node.client))[1]["version"] == 3


@pytest.mark.parametrize("before", [0, 3])
async def test_of_fifty_saves_at_one_version_exactly_one_wins(node, before):
    for version in range(before):
        await save(node.client, version)
    layouts = [[widget(f"w{number}")] for number in range(50)]
    answers = await asyncio.gather(*(save(node.client, before, layout) for layout in layouts))
    winners = [layout for layout, (status, _) in zip(layouts, answers, strict=True) if status == 200]
    assert len(winners) == 1
    assert {body["current_version"] for status, body in answers if status == 409} == {before + 1}
    assert (await ask(node.client))[1] == {"type": "server", "version": before + 1, "layout": winners[0]}
    events = [e for e in await node.event_log() if e.type == "dashboard.layout_saved"]
    assert len(events) == before + 1, "who lost has left no trace"


async def test_each_person_and_each_kind_has_a_layout_of_its_own(node):
    await save(node.client, 0)
    assert (await ask(node.client, kind="personal"))[1]["version"] == 0
    assert (await ask(node.operator))[1]["version"] == 0
    await save(node.operator, 0, [widget("mine")])
    assert (await ask(node.client))[1]["layout"] == LAYOUT


@pytest.mark.parametrize("query", ["", "?type=", "?type=other", "?type=server&type=personal", "?kind=server"])
async def test_a_type_that_is_missing_or_unknown_is_a_400(node, query):
    for method, more in (("GET", {}), ("PUT", {"json": {"version": 0, "layout": []}})):
        status, problem = await ask(node.client, method, PATH + query, kind=None, **more)
        assert (status, problem["error"]) == (400, "invalid_request")
        assert "type" in {field["path"] for field in problem["fields"]}


@pytest.mark.parametrize(
    ("layout", "said"),
    [
        ([widget("a"), widget("a", x=1)], "two widgets with the id a"),
        ([widget("a", w=2), widget("b", x=1)], "a and b overlap"),
        ([widget("a", y=1), widget("c", x=5), widget("b", y=0, h=3)], "overlap"),
        ([widget("a", x=-1)], "layout.0.x"),
        ([widget("a", w=0)], "layout.0.w"),
        ([widget("a", x=1.5)], "layout.0.x"),
        ([widget("a", x="1")], "layout.0.x"),
        ([widget("a", x=True)], "layout.0.x"),
        ([widget("a", x=999, w=2)], "edge"),
        ([widget("a", h=10**12)], "layout.0.h"),
        ([widget("")], "layout.0.id"),
        ([widget("a b")], "layout.0.id"),
        ([widget("x" * 65)], "layout.0.id"),
        ([{"id": "a", "x": 0, "y": 0, "w": 1}], "layout.0.h"),
        ([widget("a", color="red")], "layout.0.color"),
        ([widget(f"w{number}", x=number) for number in range(201)], "layout"),
        ({"a": 1}, "layout"),
        (None, "layout"),
    ],
)
async def test_a_layout_that_is_not_sound_is_named(node, layout, said):
    status, problem = await save(node.client, 0, layout)
    assert (status, problem["error"]) == (400, "invalid_request")
    assert said in problem["message"]
    assert (await ask(node.client))[1]["version"] == 0


async def test_widgets_may_touch_and_two_hundred_fit(node):
    touching = [widget("a", w=2), widget("b", x=2), widget("c", y=1, w=3)]
    assert (await save(node.client, 0, touching))[0] == 200
    grid = [widget(f"widget-{n}", x=n % 20, y=n // 20) for n in range(200)]
    assert (await save(node.client, 1, grid))[0] == 200


async def test_a_body_over_64_kb_is_refused(node):
    padded = b'{"version": 0, "layout": []' + b" " * 65_536 + b"}"
    head = {"Content-Type": "application/json"}
    status, problem = await ask(node.client, "PUT", data=padded, headers=head)
    assert (status, problem["error"]) == (413, "body_too_large")


@pytest.mark.parametrize("version", [-1, 1.0, "0", None, True, 2**31 - 1])
async def test_a_version_that_is_no_whole_number_is_a_400(node, version):
    status, problem = await save(node.client, version)
    assert (status, problem["fields"][0]["path"]) == (400, "version")


async def test_viewers_look_and_do_not_arrange(node):
    assert (await ask(node.viewer))[0] == 200
    assert (await save(node.viewer, 0))[0] == 403
    assert (await ask(node.viewer, "POST", f"{PATH}/versions/0/restore"))[0] == 403
    assert (await ask(node.anonymous))[0] == 401


async def test_the_twenty_versions_before_the_current_one_are_listed_and_come_back(node):
    for version in range(25):
        await save(node.client, version, [widget(f"w{version + 1}")])
    status, listed = await ask(node.client, path=f"{PATH}/versions")
    assert status == 200
    assert [row["version"] for row in listed] == list(range(24, 4, -1))
    assert listed[0] == {"version": 24, "widgets": 1, "saved_at": "2026-01-01T00:00:00Z"}
    for version in (5, 24):
        found = {"type": "server", "version": version, "layout": [widget(f"w{version}")]}
        assert await ask(node.client, path=f"{PATH}/versions/{version}") == (200, found)
    for version in ("4", "26", "x", "-1", "99999999999999"):
        assert (await ask(node.client, path=f"{PATH}/versions/{version}"))[0] == 404
        assert (await ask(node.client, "POST", f"{PATH}/versions/{version}/restore"))[0] == 404


async def test_a_restore_is_a_new_version(node):
    await save(node.client, 0)
    await save(node.client, 1, [])
    assert await ask(node.client, "POST", f"{PATH}/versions/1/restore") == (200, {"type": "server", "version": 3})
    assert (await ask(node.client))[1] == {"type": "server", "version": 3, "layout": LAYOUT}
    event = (await node.event_log())[-1]
    assert (event.type, event.data["restored"], event.actor.name) == ("dashboard.layout_saved", 1, "admin")
    assert event.details == "Saved the server dashboard as version 3, restored from version 1"


async def test_a_restore_of_version_0_brings_the_default_back(node):
    default = (await ask(node.client))[1]["layout"]
    await save(node.client, 0)
    assert (await ask(node.client, "POST", f"{PATH}/versions/0/restore"))[1]["version"] == 2
    assert (await ask(node.client))[1]["layout"] == default


async def test_a_restore_may_be_made_to_depend_on_what_one_has_seen(node):
    for version in range(3):
        await save(node.client, version)
    path = f"{PATH}/versions/1/restore?type=server&current="
    status, problem = await ask(node.client, "POST", f"{path}2", kind=None)
    assert (status, problem["error"], problem["current_version"]) == (409, "stale_version", 3)
    assert (await ask(node.client, "POST", f"{path}x", kind=None))[0] == 400
    assert await ask(node.client, "POST", f"{path}3", kind=None) == (200, {"type": "server", "version": 4})


async def test_layouts_outlive_a_restart_and_go_with_their_person(node):
    await save(node.client, 0)
    await save(node.client, 1, [])
    await node.restart()
    assert (await ask(node.client))[1]["version"] == 2
    assert len((await ask(node.client, path=f"{PATH}/versions"))[1]) == 1


async def test_who_is_deleted_leaves_no_layout(cloudos):
    host = await cloudos("dashboard", "auth", settings={"auth": {"bcrypt_cost": 4}})
    who = {"username": "root", "password": "correct horse battery"}
    await host.anonymous.post("/api/auth/setup", json=who)

    async def sign_in(person):
        answer = await host.anonymous.post("/api/auth/login", json=person)
        return {"Authorization": f"Bearer {(await answer.get_json())['access_token']}"}

    head = await sign_in(who)
    other = {"username": "guest", "password": "only for a while", "role": "operator"}
    made = await (await host.anonymous.post("/api/users", json=other, headers=head)).get_json()
    mine = await sign_in({key: other[key] for key in ("username", "password")})
    body = {"version": 0, "layout": LAYOUT}
    assert (await host.anonymous.put(f"{PATH}?type=server", json=body, headers=mine)).status_code == 200
    assert (await host.anonymous.delete(f"/api/users/{made['id']}", headers=head)).status_code == 204
    async with asyncio.timeout(5):
        while True:
            if not await layouts(host):
                return
            await asyncio.sleep(0.01)


async def layouts(host):
    from sqlalchemy import text

    query = text("SELECT user_id FROM dashboard_layout UNION SELECT user_id FROM dashboard_version")
    return await host.ctx("dashboard").db.read(lambda session: session.execute(query).all())


async def test_the_models_are_what_the_migrations_make(node):
    assert node.schema_differences("dashboard") == []
