"""Identity and placement alone; ``http`` is an administrator at the newest microversion."""

import pytest

from pileus.kernel.testing import client, running
from pileus.services.identity.service import SERVICE as IDENTITY
from pileus.services.identity.testing import login
from pileus.services.placement.service import SERVICE as PLACEMENT


@pytest.fixture
async def cloud(tmp_path):
    async with running(tmp_path, [IDENTITY, PLACEMENT]) as runtime:
        yield runtime


@pytest.fixture
async def http(cloud):
    headers = {"OpenStack-API-Version": "placement 1.39"}
    async with client(cloud, await login(cloud, "admin"), **headers) as session:
        session.base_url = "http://cloud.test/placement/"
        yield session
