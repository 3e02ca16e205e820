"""Whose word counts for who a client is."""

import pytest

from pileus.kernel.config import ConfigError
from pileus.kernel.rest.http import Request
from pileus.kernel.rest.proxies import Proxies


def seen(peer, forwarded=None, trusted=("127.0.0.1", "10.0.0.0/8", "::1")):
    headers = {"x-forwarded-for": forwarded} if forwarded is not None else {}
    request = Request("GET", "/", headers, b"", "http", peer)
    Proxies(trusted).look_behind(request)
    return request.source_ip, request.through_proxy


@pytest.mark.parametrize(
    ("peer", "forwarded", "client", "through_proxy"),
    [
        ("127.0.0.1", "192.0.2.7", "192.0.2.7", True),
        ("127.0.0.1", "198.51.100.1, 192.0.2.7", "192.0.2.7", True),
        ("127.0.0.1", "192.0.2.7, 10.1.2.3", "192.0.2.7", True),
        ("127.0.0.1", "10.1.2.3", "10.1.2.3", True),
        ("::ffff:10.9.9.9", "192.0.2.7", "192.0.2.7", True),
        ("::1", None, "::1", True),
        ("127.0.0.1", " , ", "127.0.0.1", True),
        ("192.0.2.1", "127.0.0.1", "192.0.2.1", False),
        ("unix", "192.0.2.7", "unix", False),
        (None, "192.0.2.7", None, False),
    ],
)
def test_a_client_is_the_first_that_is_no_proxy(peer, forwarded, client, through_proxy):
    assert seen(peer, forwarded) == (client, through_proxy)


@pytest.mark.parametrize(
    ("peer", "seen_as"),
    [("127.0.0.1", "https://cloud.example"), ("192.0.2.1", "http://here:8080"), (None, "http://here:8080")],
)
def test_only_a_proxy_says_under_which_name_a_client_came(peer, seen_as):
    headers = {"host": "here:8080", "x-forwarded-host": "cloud.example", "x-forwarded-proto": "https"}
    request = Request("GET", "/", headers, b"", "http", peer)
    Proxies(("127.0.0.1",)).look_behind(request)
    assert request.base_url == seen_as


def test_a_forgotten_proxy_is_warned_of_once(caplog):
    proxies = Proxies(())
    for _ in range(2):
        proxies.look_behind(Request("GET", "/", {"x-forwarded-host": "x"}, b"", "http", "192.0.2.1"))
    proxies.look_behind(Request("GET", "/", {}, b"", "http", "192.0.2.2"))
    assert [record.getMessage() for record in caplog.records] == [
        "X-Forwarded-* from 192.0.2.1 is ignored: it is not in [cloud] trusted_proxies"
    ]


def test_nobody_is_trusted_when_none_is_named():
    assert seen("127.0.0.1", "192.0.2.7", ()) == ("127.0.0.1", False)


def test_what_is_no_address_is_refused_at_the_start():
    with pytest.raises(ConfigError, match="trusted_proxies"):
        Proxies(["proxy.example"])


@pytest.mark.parametrize(
    ("peer", "kind", "scheme", "host", "client"),
    [
        ("127.0.0.1", "http", "https", "cloud.example", "192.0.2.7"),
        ("127.0.0.1", "websocket", "wss", "cloud.example", "192.0.2.7"),
        ("192.0.2.1", "http", "http", "here:8080", "192.0.2.1"),
    ],
)
def test_applications_beside_the_apis_see_what_the_client_used(peer, kind, scheme, host, client):
    forwarded = {
        "x-forwarded-host": "cloud.example",
        "x-forwarded-proto": "https, http",
        "x-forwarded-for": "192.0.2.7",
    }
    headers = [(name.encode(), value.encode()) for name, value in {"host": "here:8080", "a": "b", **forwarded}.items()]
    plain = "ws" if kind == "websocket" else "http"
    scope = {"type": kind, "path": "/", "scheme": plain, "client": (peer, 5), "headers": headers}
    seen = Proxies(("127.0.0.1",)).seen(scope)
    given = dict(seen["headers"])
    assert (seen["scheme"], given[b"host"].decode(), seen["client"][0]) == (scheme, host, client)
    assert given[b"a"] == b"b"
    if peer == "127.0.0.1":
        # Whoever looks again, at the client's address now, must not warn of a proxy that nobody has named.
        assert not any(name.startswith(b"x-forwarded") for name in given)


def test_a_scheme_that_is_none_is_not_believed():
    request = Request("GET", "/", {"host": "here", "x-forwarded-proto": "javascript"}, b"", "http", "127.0.0.1")
    Proxies(("127.0.0.1",)).look_behind(request)
    assert request.base_url == "http://here"
