"""One served cloud and one client for all commands."""

import os
from collections.abc import Iterator

import pytest

from tests.api.identity_cli.shell import Client, Served, people, ready_shell


@pytest.fixture(scope="session")
def served(tmp_path_factory) -> Iterator[Served]:
    """A cloud of identity that answers HTTP."""
    with Served(tmp_path_factory.mktemp("identity-cli")).running() as cloud:
        yield cloud


@pytest.fixture(scope="session")
def shell():
    """The client's own program."""
    for name in [name for name in os.environ if name.startswith("OS_")]:
        del os.environ[name]
    return ready_shell()


@pytest.fixture(scope="session")
def admin(served, shell) -> Client:
    """``openstack`` as the administrator, in project admin."""
    return people(served, shell, "admin")


@pytest.fixture(scope="session")
def demo(served, shell) -> Client:
    """``openstack`` as somebody with a project only."""
    return people(served, shell, "demo")
