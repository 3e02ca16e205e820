"""What all tests share: database servers that start when the first test asks for them."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from pileus.kernel import testing
from tests import mariadb, postgresql, programs

for name in [name for name in os.environ if name.startswith("OS_")]:
    del os.environ[name]  # whoever runs the tests may be logged in to a cloud; the tests' clients are not to be


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--engine",
        choices=("sqlite", "postgresql", "mariadb"),
        default="sqlite",
        help="the database on which the clouds of API tests run (default sqlite)",
    )


@pytest.fixture(scope="session", autouse=True)
def declared_programs() -> Iterator[None]:
    """Let no test start a program that a fresh machine would not have."""
    yield from programs.watch()


SERVERS = {"postgresql": postgresql, "mariadb": mariadb}


@pytest.fixture(scope="session", autouse=True)
def engine_of_clouds(request: pytest.FixtureRequest) -> Iterator[dict[Path, str]]:
    """Have every cloud that names no database of its own run on the chosen engine; yield the databases by cloud."""
    engine, made = str(request.config.getoption("--engine")), dict[Path, str]()
    if engine == "sqlite":
        yield made
        return
    pattern = request.getfixturevalue(f"{engine}_server")

    def url(state: Path) -> str:
        if state not in made:
            made[state] = SERVERS[engine].create_database(pattern, f"c{uuid.uuid4().hex}")
        return made[state]

    testing.databases["url"] = url
    yield made
    del testing.databases["url"]


@pytest.fixture(autouse=True)
def drop_databases(request: pytest.FixtureRequest, engine_of_clouds: dict[Path, str]) -> Iterator[None]:
    """Drop the databases of a test's own clouds, a thousand of which would fill a disk."""
    before = set(engine_of_clouds)
    yield
    for state in set(engine_of_clouds) - before:
        SERVERS[str(request.config.getoption("--engine"))].drop_database(engine_of_clouds.pop(state))


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


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[str]:
    """URL pattern of a running server; skipped, saying so, where MariaDB is not installed."""
    if not mariadb.is_installed():
        pytest.skip("MariaDB is not installed (apt-get install mariadb-server)")
    with mariadb.server() as url:
        yield url


@pytest.fixture
def mariadb_url(mariadb_server: str) -> str:
    """URL of an empty database."""
    return mariadb.create_database(mariadb_server, f"t{uuid.uuid4().hex}")


@pytest.fixture(
    params=[
        pytest.param("postgresql", marks=pytest.mark.postgresql),
        pytest.param("mariadb", marks=pytest.mark.mariadb),
    ]
)
def server_url(request: pytest.FixtureRequest) -> str:
    """URL of an empty database on each engine that is a server, where transactions truly run side by side."""
    return request.getfixturevalue(f"{request.param}_url")
