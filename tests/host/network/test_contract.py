"""The Linux driver keeps the contract on a real host."""

import pytest

from pileus.services.network.drivers.contract import NetworkDriverContract

pytestmark = pytest.mark.host


class TestLinuxNetworkDriver(NetworkDriverContract):
    """The `driver` fixture is a real one."""
