"""One real cloud for the whole session: started by ``pileus up``, purged at the end, leaving the host as it was."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cloud import RealCloud, host_picture


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/e2e" in str(item.path):
            item.add_marker(pytest.mark.host)
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def cloud() -> Iterator[RealCloud]:
    """A running cloud with the demo project's ssh key and an open default security group."""
    if os.geteuid() != 0:
        pytest.skip("real guests and networks need root")
    if shutil.which("qemu-system-x86_64") is None:
        pytest.skip("QEMU is not installed: run `./pileus test` or `pileus doctor`")
    folder = Path(tempfile.mkdtemp(prefix="pileus-e2e-", dir="/var/tmp"))  # two sessions must not share a cloud
    folder.chmod(0o711)
    real = RealCloud(folder)
    try:
        real.up()
        real.openstack("keypair", "create", "--public-key", f"{real.key}.pub", "e2e")
        real.openstack("security", "group", "rule", "create", "--proto", "tcp", "--dst-port", "22", "default")
        real.openstack("security", "group", "rule", "create", "--proto", "icmp", "default")
        yield real
        cloud_id = real.state.load().cloud_id
        real.pileus("down", "--purge")
        left = {kind: found for kind, found in host_picture(cloud_id).items() if found}
        assert not left, f"the purge left behind: {left}"
        assert not real.state.path.exists()
    finally:
        if real.state.exists():
            real.pileus("down", "--purge")
        shutil.rmtree(folder, ignore_errors=True)
