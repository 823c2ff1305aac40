"""Where a browser may be sent back to: whatever the text, to a gated name or nowhere."""

from urllib.parse import urlsplit

import httpx
from cloudos_proxy.sign_in.auth_request import cookie_of
from cloudos_proxy.sign_in.redirects import host_of, target_of
from hypothesis import example, given
from hypothesis import strategies as st

GATED = {"git.cloud.test", "wiki.cloud.test"}
PORTS = (8080, 8443)
SEPARATORS = st.sampled_from(
    ["/", "//", "\\", "@", ":", "?", "#", ".", "%2f", "%5c", "\t", "\n", " ", "\0", "\uff05", "\u3002", ""]
)
PARTS = st.sampled_from(
    [
        "http:",
        "https:",
        "javascript:",
        "git.cloud.test",
        "GIT.cloud.test",
        "evil.test",
        "8080",
        "22",
        "[::1]",
        "a",
        "xn--",
    ]
)
URLS = st.one_of(
    st.text(max_size=60),
    st.lists(st.one_of(PARTS, SEPARATORS), max_size=10).map("".join),
    st.tuples(
        st.sampled_from(["http://", "https://", "HTTP://"]), st.lists(st.one_of(PARTS, SEPARATORS), max_size=8)
    ).map(lambda made: made[0] + "".join(made[1])),
)


@given(URLS)
@example("http://git.cloud.test:8080/a?b=c")
@example("http://git.cloud.test\\@evil.test/")
@example("http://git.cloud.test")
@example("http://git.cloud.test/@")
def test_every_reader_of_the_address_agrees_that_it_is_a_gated_name(url):
    target = target_of(url, GATED.__contains__, PORTS)
    if target is None:
        return
    assert target.host in GATED
    assert target.url.isascii() and not any(c in target.url for c in "\\# \t\r\n\0")
    assert "@" not in target.url.split("/", 3)[2]
    for host, port in ((urlsplit(target.url).hostname, urlsplit(target.url).port), _by_httpx(target.url)):
        assert host == target.host
        assert port in (None, 80, 443, *PORTS)
    assert target.path.startswith("/")


def _by_httpx(url):
    read = httpx.URL(url)
    return read.host, read.port


def test_an_address_is_kept_to_the_letter():
    target = target_of("https://git.cloud.test:8443/a%2Fb?c=d&e=[1]", GATED.__contains__, PORTS)
    assert target.url == "https://git.cloud.test:8443/a%2Fb?c=d&e=[1]"
    assert target_of("http://git.cloud.test:80", GATED.__contains__, PORTS).url == "http://git.cloud.test/"


def test_names_are_read_from_host_headers():
    assert [host_of(text) for text in ("Git.cloud.test:8080", "git.cloud.test.", "git.cloud.test")] == [
        "git.cloud.test"
    ] * 3


@given(st.text(st.characters(codec="latin-1")), st.text("abc_=; ", min_size=1))
def test_a_cookie_is_found_by_its_whole_name(value, before):
    kept = value.replace(";", "").strip()
    assert cookie_of(f"x{before}; name={kept}; z=1", "name") in (kept, cookie_of(before, "name"))
    assert cookie_of(f"xname={kept}", "name") is None
