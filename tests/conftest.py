"""What all tests share: a PostgreSQL server that starts when the first test asks for it."""

import uuid
from collections.abc import Iterator

import pytest

from tests import postgresql


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """URL pattern of a running server; skipped, saying so, where PostgreSQL is not installed."""
    if postgresql.find_programs() is None:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
    with postgresql.server() as url:
        yield url


@pytest.fixture
def postgresql_url(postgresql_server: str) -> str:
    """URL of an empty database."""
    return postgresql.create_database(postgresql_server, f"t{uuid.uuid4().hex}")
