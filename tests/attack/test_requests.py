"""Requests as no client writes them, to a server of its own."""

import asyncio

from bench.cloud import FakeCloud

from tests.attack.requests import attack, cases, get, send


def test_nothing_gets_through():
    with FakeCloud(hosts=1) as cloud:
        pid = cloud.pid
        result = asyncio.run(attack(cloud.port))
        alive = asyncio.run(send(cloud.port, get("/identity/v3")))
        assert cloud.pid == pid
    assert result.sent == len(cases())
    assert result.found == []
    assert b" 200 " in alive[:20]
