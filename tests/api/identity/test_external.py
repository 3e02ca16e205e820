"""People whom the web server in front has recognised already."""

import httpx
import pytest

from pileus.kernel.testing import running
from pileus.services.identity.service import SERVICE

TOKENS = "/identity/v3/auth/tokens"
BODY = {"auth": {"identity": {"methods": ["external"], "external": {}}}}
SETTINGS = {"external_user_header": "X-Remote-User", "external_domain_header": "X-Remote-Domain"}


async def post(cloud, peer="127.0.0.1", **headers):
    transport = httpx.ASGITransport(cloud.app, client=(peer, 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://cloud.test", headers=headers) as http:
        return await http.post(TOKENS, json=BODY)


@pytest.fixture
async def fronted(tmp_path):
    async with running(tmp_path, [SERVICE], {"identity": SETTINGS}) as runtime:
        yield runtime


async def test_nobody_may_say_so_unless_it_is_configured(cloud):
    assert (await post(cloud, **{"X-Remote-User": "demo"})).status_code == 401


@pytest.mark.parametrize(
    ("peer", "headers", "status"),
    [
        ("127.0.0.1", {"X-Remote-User": "demo"}, 201),
        ("127.0.0.1", {"X-Remote-User": "demo", "X-Remote-Domain": "Default"}, 201),
        ("127.0.0.1", {"X-Remote-User": "demo", "X-Forwarded-For": "192.0.2.1"}, 201),
        ("127.0.0.1", {"X-Remote-User": "demo", "X-Remote-Domain": "none"}, 401),
        ("127.0.0.1", {"X-Remote-User": "nobody"}, 401),
        ("127.0.0.1", {"X-Remote-User": ""}, 401),
        ("127.0.0.1", {}, 401),
        ("192.0.2.1", {"X-Remote-User": "demo"}, 401),
        ("192.0.2.1", {"X-Remote-User": "demo", "X-Forwarded-For": "127.0.0.1"}, 401),
    ],
)
async def test_a_trusted_proxy_names_the_user(fronted, peer, headers, status):
    answer = await post(fronted, peer, **headers)
    assert answer.status_code == status
    if status == 201:
        assert answer.json()["token"]["user"]["name"] == "demo"
        assert answer.json()["token"]["methods"] == ["external"]
