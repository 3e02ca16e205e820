"""Key management with tokens that say who they are: ``project/user/role+role``."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from pileus.kernel.runtime import Runtime
from pileus.kernel.testing import client, running
from pileus.services.key_manager.service import SERVICE
from tests.api.object_store.conftest import TOKENS

NEWEST = {"OpenStack-API-Version": "key-manager 1.2"}


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[Runtime]:
    async with running(tmp_path, [TOKENS, SERVICE]) as runtime:
        yield runtime


def speaking(cloud: Runtime, token: str, **headers: str) -> httpx.AsyncClient:
    """Return a client below /key-manager/v1."""
    http = client(cloud, token, **(headers or NEWEST))
    http.base_url = "http://cloud.test/key-manager/v1"
    return http


@pytest.fixture
async def http(cloud: Runtime) -> AsyncIterator[httpx.AsyncClient]:
    async with speaking(cloud, "p1/u1/member+reader") as http:
        yield http


@pytest.fixture
async def mate(cloud: Runtime) -> AsyncIterator[httpx.AsyncClient]:
    """Another member of the same project."""
    async with speaking(cloud, "p1/u2/member+reader") as http:
        yield http


@pytest.fixture
async def admin(cloud: Runtime) -> AsyncIterator[httpx.AsyncClient]:
    async with speaking(cloud, "p1/u0/admin+member+reader") as http:
        yield http


@pytest.fixture
async def stranger(cloud: Runtime) -> AsyncIterator[httpx.AsyncClient]:
    async with speaking(cloud, "p2/u9/member+reader") as http:
        yield http


async def make(http: httpx.AsyncClient, **attributes: Any) -> str:
    """Create a secret, a passphrase unless told otherwise; return its id."""
    body = {"name": "s", "payload": "hunter2", "payload_content_type": "text/plain", **attributes}
    answer = await http.post("secrets", json={name: value for name, value in body.items() if value is not None})
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == answer.json()["secret_ref"]
    return answer.json()["secret_ref"].rpartition("/")[2]
