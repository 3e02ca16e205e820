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
