"""The choice of addresses: fast, complete, never twice."""

import ipaddress

import pytest
from sqlalchemy import event

from pileus.kernel.db import open_database
from pileus.kernel.errors import Conflict, Invalid
from pileus.services.network.app import ranges
from pileus.services.network.model import Address
from pileus.services.network.store.addresses import next_free


@pytest.fixture
async def db(tmp_path):
    database = open_database(f"sqlite:///{tmp_path / 'd.db'}")
    await database.create_schema()
    yield database
    await database.close()


def take(tx, *offsets):
    tx.add_all(Address(network_id="n", ip=str(offset), subnet_id="s", port_id="p", offset=offset) for offset in offsets)
    tx.flush()


async def test_the_next_address_follows_the_highest_then_gaps_are_filled(db):
    def work(tx):
        assert next_free(tx, "s", 2, 6) == 2
        take(tx, 2, 3)
        assert next_free(tx, "s", 2, 6) == 4
        take(tx, 4, 6)
        assert next_free(tx, "s", 2, 6) == 5
        take(tx, 5)
        assert next_free(tx, "s", 2, 6) is None
        assert next_free(tx, "s", 1, 6) == 1
        assert next_free(tx, "other", 2, 6) == 2

    await db.write(work)


async def test_a_full_range_is_not_walked(db):
    def work(tx):
        tx.bulk_save_objects(
            [Address(network_id="n", ip=str(n), subnet_id="s", port_id="p", offset=n) for n in range(2, 20000)]
        )
        statements = []
        event.listen(tx.connection(), "before_cursor_execute", lambda *args: statements.append(args[2]))
        assert next_free(tx, "s", 2, 65534) == 20000
        assert len(statements) == 1
        plan = tx.connection().exec_driver_sql(f"explain query plan {statements[0]}", ("s", 2, 65534)).all()
        assert any("ix_network_addresses_offset" in str(step) for step in plan)

    await db.write(work)


def test_pools_leave_out_gateway_network_and_broadcast():
    cidr = ipaddress.ip_network("10.0.0.0/29")
    assert ranges.default_pools(cidr, "10.0.0.1") == [{"start": "10.0.0.2", "end": "10.0.0.6"}]
    assert ranges.default_pools(cidr, "10.0.0.6") == [{"start": "10.0.0.1", "end": "10.0.0.5"}]
    assert ranges.default_pools(cidr, "192.168.0.1") == [{"start": "10.0.0.1", "end": "10.0.0.6"}]
    assert ranges.default_pools(ipaddress.ip_network("10.0.0.0/32"), None) == [{"start": "10.0.0.0", "end": "10.0.0.0"}]


def test_pools_must_lie_inside_and_apart():
    cidr = ipaddress.ip_network("10.0.0.0/24")
    with pytest.raises(Invalid):
        ranges.check_pools([{"start": "10.0.0.0", "end": "10.0.0.9"}], cidr)
    with pytest.raises(Conflict):
        ranges.check_pools([{"start": "10.0.0.5", "end": "10.0.0.9"}, {"start": "10.0.0.9", "end": "10.0.0.9"}], cidr)


def test_eui64_is_that_of_the_rfc():
    network = ipaddress.ip_network("2001:db8::/64")
    assert ranges.eui64(network, "34:56:78:9a:bc:de") == "2001:db8::3656:78ff:fe9a:bcde"


def test_two_clouds_on_one_host_have_two_public_ranges():
    from pileus.services.network.bootstrap import public_cidr
    from pileus.services.network.model import NetworkSettings

    assert public_cidr(NetworkSettings(), "0000") == "172.24.4.0/24"
    assert public_cidr(NetworkSettings(), "0301") == "172.27.1.0/24"
    assert public_cidr(NetworkSettings(public_cidr="192.0.2.0/24"), "0301") == "192.0.2.0/24"
