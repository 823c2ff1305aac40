"""Where a document listens is written into it on its way to Caddy, and can be taken out again."""

from __future__ import annotations

import orjson
import pytest
from cloudos_proxy.caddy.config.document import Frame, build
from cloudos_proxy.caddy.config.site import Site
from cloudos_proxy.caddy.config.tls import TlsParts
from cloudos_proxy.caddy.reuseport import PLACES, place_of, turn, turned, unturned

OWN = {
    "http": ("fd/{env.CLOUDOS_HTTP_FD}",),
    "https": ("fd/{env.CLOUDOS_HTTPS_FD}",),
    "http3": ("fdgram/{env.CLOUDOS_HTTP3_FD}",),
}
# a route's values cannot be mistaken for a listener
SITE = Site("route_1", 'a.example.com","listen":["fd/{env.X_FD}"],"listen_protocols":[["h1"]],"routes"', "127.0.0.1:9")


def made(**listeners):
    frame = Frame("unix//a", "/s", "/l", "127.0.0.1:8080", "unix//g", **listeners)
    return orjson.dumps(build(frame, [SITE], TlsParts()), option=orjson.OPT_SORT_KEYS)


@pytest.mark.parametrize("listeners", [OWN, {"front": ("fd/{env.CLOUDOS_FRONT_FD}",)}], ids=["own", "front"])
@pytest.mark.parametrize("places", [*(turn(place) for place in range(PLACES)), tuple(range(PLACES))])
def test_each_server_listens_on_the_places_of_its_turn(listeners, places):
    document = made(**listeners)
    given = turned(document, places)
    servers = orjson.loads(given)["apps"]["http"]["servers"]
    assert set(servers) == set(listeners) - {"http3"}
    for name, server in servers.items():
        rings = [f"fd/{{env.CLOUDOS_{name.upper()}_FD_{place}}}" for place in places]
        others = list(OWN["http3"]) if name == "https" else []
        assert server["listen"] == [*rings, *others]
        spoken = ["h1", "h2"] if name == "https" else ["h1"]
        assert server["listen_protocols"] == [spoken] * len(places) + [["h3"]] * len(others)
    assert unturned(given) == document
    assert place_of(given) == places[0]


def test_a_document_listens_on_all_places_but_the_next():
    for place in range(PLACES):
        assert set(range(PLACES)) - set(turn(place)) == {(place + 1) % PLACES}


def test_a_document_whose_listeners_are_caddys_own_is_left_as_it_is():
    document = made(http=("127.0.0.1:80",), https=("127.0.0.1:443",))
    assert turned(document, turn(3)) == document == unturned(document)
