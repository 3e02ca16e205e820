"""A control plane with images, object storage and tokens that say who they are: ``project/user/role+role``."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from pileus.kernel.runtime import Runtime
from pileus.kernel.testing import client, running
from pileus.services.image.service import SERVICE as IMAGE
from pileus.services.object_store.drivers.sparing import LOCK
from pileus.services.object_store.service import SERVICE as OBJECT_STORE
from tests.api.object_store.conftest import TOKENS

SERVICES = [TOKENS, OBJECT_STORE, IMAGE]
BINARY = {"Content-Type": "application/octet-stream"}
PATCH = {"Content-Type": "application/openstack-images-v2.1-json-patch"}


@pytest.fixture
def settings() -> dict[str, Any]:
    """The table [image]; tests override it."""
    return {}


@pytest.fixture
async def cloud(tmp_path: Path, settings: dict[str, Any]) -> AsyncIterator[Runtime]:
    async with running(tmp_path, SERVICES, {"image": settings}) as runtime:
        yield runtime


def speaking(cloud: Runtime, token: str) -> httpx.AsyncClient:
    """Return a client below /image/v2."""
    http = client(cloud, token)
    http.base_url = "http://cloud.test/image/v2"
    return http


@pytest.fixture
async def http(cloud: Runtime) -> AsyncIterator[httpx.AsyncClient]:
    async with speaking(cloud, "p1/u1/member") as http:
        yield http


@pytest.fixture
async def admin(cloud: Runtime) -> AsyncIterator[httpx.AsyncClient]:
    async with speaking(cloud, "p0/u0/admin+member") as http:
        yield http


@pytest.fixture
async def other(cloud: Runtime) -> AsyncIterator[httpx.AsyncClient]:
    async with speaking(cloud, "p2/u2/member") as http:
        yield http


@pytest.fixture
def data_files(cloud: Runtime):
    """Return a function that lists the files that hold bytes."""

    def files() -> list[Path]:
        found = (cloud.config.state / "object_store").rglob("*")
        return [path for path in found if path.is_file() and path.name != LOCK]

    return files


async def create(http: httpx.AsyncClient, **attributes: Any) -> dict[str, Any]:
    """Create a raw image."""
    answer = await http.post(
        "images", json={"name": "i", "disk_format": "raw", "container_format": "bare"} | attributes
    )
    assert answer.status_code == 201, answer.text
    return answer.json()


async def upload(http: httpx.AsyncClient, id: str, content: bytes = b"data") -> httpx.Response:
    """Upload bytes into an image."""
    return await http.put(f"images/{id}/file", content=content, headers=BINARY)
