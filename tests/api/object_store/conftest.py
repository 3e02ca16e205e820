"""A control plane with object storage and tokens that say who they are: ``project/user/role+role``.

A fourth part gives more of the caller: ``project/user/role/user_name=bob+user_domain_id=default``.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from pileus.kernel.context import ANONYMOUS, Caller
from pileus.kernel.db import Tx
from pileus.kernel.errors import Unauthenticated
from pileus.kernel.rest import Request
from pileus.kernel.runtime import Runtime
from pileus.kernel.service import Service
from pileus.kernel.testing import client, running
from pileus.services.object_store.drivers.sparing import LOCK
from pileus.services.object_store.service import SERVICE


def authenticate(tx: Tx, request: Request, runtime: Runtime) -> Caller:
    token = request.headers.get("x-auth-token")
    if token is None:
        return ANONYMOUS
    if token.count("/") not in (2, 3):
        raise Unauthenticated("The token is not valid.")
    project, user, roles, *more = token.split("/")
    facts = dict(fact.split("=") for part in more for fact in part.split("+"))
    return Caller(user_id=user, project_id=project, roles=frozenset([*roles.split("+"), "reader"]), **facts)


TOKENS = Service("tokens", "/tokens", authenticate=authenticate)


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[Runtime]:
    async with running(tmp_path, [TOKENS, SERVICE]) as runtime:
        yield runtime


@pytest.fixture
async def http(cloud: Runtime) -> AsyncIterator[httpx.AsyncClient]:
    """Speak as a member of project p1, with URLs below its account."""
    async with client(cloud, "p1/u1/member") as http:
        http.base_url = "http://cloud.test/object-store/v1/AUTH_p1"
        yield http


@pytest.fixture
async def box(http: httpx.AsyncClient) -> httpx.AsyncClient:
    """Speak as ``http`` does, with URLs below the container ``box``."""
    await http.put("box")
    http.base_url = "http://cloud.test/object-store/v1/AUTH_p1/box"
    return http


@pytest.fixture
def data_files(cloud: Runtime):
    """Return a function that lists the files that hold bytes."""

    def files() -> list[Path]:
        found = (cloud.config.state / "object_store").rglob("*")
        return [path for path in found if path.is_file() and path.name != LOCK]

    return files
