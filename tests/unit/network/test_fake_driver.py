"""The fake network driver keeps the contract and fails where it is told to."""

import pytest

from pileus.services.network.drivers.base import HostNetworkError
from pileus.services.network.drivers.contract import NetworkDriverContract, new_id
from pileus.services.network.drivers.fake import FakeNetworkDriver
from pileus.services.network.wanted import Inventory, NetworkSpec


class TestFakeNetworkDriver(NetworkDriverContract):
    @pytest.fixture
    async def driver(self) -> FakeNetworkDriver:
        return FakeNetworkDriver()


async def test_a_fault_stops_the_verb_before_it_acts() -> None:
    def refuse(verb: str, id: str) -> None:
        if verb == "ensure_network":
            raise HostNetworkError(f"No room for network {id}.")

    driver = FakeNetworkDriver(fault=refuse)
    with pytest.raises(HostNetworkError, match="No room"):
        await driver.ensure_network(NetworkSpec(id=new_id()))
    assert await driver.inventory() == Inventory()
    assert driver.calls["ensure_network"] == 1
