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


def test_nobody_is_trusted_when_none_is_named():
    assert seen("127.0.0.1", "192.0.2.7", ()) == ("127.0.0.1", False)


def test_what_is_no_address_is_refused_at_the_start():
    with pytest.raises(ConfigError, match="trusted_proxies"):
        Proxies(["proxy.example"])
