"""A cloud of identity alone, with cheap password hashes so that tests do not wait for bcrypt."""

import pytest

from pileus.kernel.testing import client, running
from pileus.services.identity.service import SERVICE
from pileus.services.identity.testing import login
from tests.api.identity.openid_provider import openid_provider


@pytest.fixture
async def cloud(tmp_path):
    async with running(tmp_path, [SERVICE], {"identity": {"password_hash_rounds": 4}}) as runtime:
        yield runtime


@pytest.fixture
async def admin(cloud):
    async with client(cloud, await login(cloud, "admin")) as http:
        http.base_url = "http://cloud.test/identity/v3/"
        yield http


@pytest.fixture
async def demo(cloud):
    async with client(cloud, await login(cloud, "demo")) as http:
        http.base_url = "http://cloud.test/identity/v3/"
        yield http


@pytest.fixture(scope="session")
def openid(tmp_path_factory):
    with openid_provider(tmp_path_factory.mktemp("openid")) as provider:
        yield provider
