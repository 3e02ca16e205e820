"""The metadata address, asked by guests over DHCP's route and through their router."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pileus.services.network.drivers.contract import new_id
from pileus.services.network.drivers.linux.driver import LinuxNetworkDriver
from pileus.services.network.drivers.linux.host import Settings
from pileus.services.network.drivers.linux.metadata import MetadataUpstream
from pileus.services.network.metadata_signature import verify
from pileus.services.network.wanted import NetworkSpec, RouterSpec
from tests.host.network.guests import Guest, Guests, allow, dhcp_of, leg_of, open_group, port_of

pytestmark = pytest.mark.host

SECRET = b"between the host and the API"
ASK = """
import http.client, json, sys
c = http.client.HTTPConnection("169.254.169.254", 80, timeout=3)
c.request("GET", "/latest/meta-data/?a=b", headers=json.loads(sys.argv[1]))
r = c.getresponse()
print(json.dumps([r.status, r.read().decode()]))
"""


@pytest.fixture
async def upstream(tmp_path: Path) -> AsyncIterator[MetadataUpstream]:
    """An API that answers with the request it saw."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        request, *lines = head.strip().split("\r\n")
        seen = json.dumps({"request": request, "headers": [line.split(": ", 1) for line in lines]})
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(seen)}\r\n\r\n{seen}".encode())
        writer.close()

    server = await asyncio.start_unix_server(answer, tmp_path / "api.sock")
    yield MetadataUpstream(f"unix://{tmp_path / 'api.sock'}:/metadata", SECRET)
    server.close()


@pytest.fixture
async def driver(settings: Settings, upstream: MetadataUpstream) -> AsyncIterator[LinuxNetworkDriver]:
    driver = LinuxNetworkDriver(settings, upstream)
    await driver.start()
    yield driver
    await driver.ensure_all_gone()
    await driver.close()


@pytest.fixture
async def network(driver: LinuxNetworkDriver) -> NetworkSpec:
    network = NetworkSpec(id=new_id(), mtu=1450)
    await driver.ensure_network(network)
    return network


async def ask(guest: Guest, **headers: str) -> tuple[str, dict[str, str]]:
    """Ask for metadata in the guest; return the request line and headers that reached the API."""
    out = await asyncio.to_thread(guest.run, "python3", "-c", ASK, json.dumps(headers))
    status, body = json.loads(out)
    assert status == 200, body
    seen = json.loads(body)
    names = [name.lower() for name, _ in seen["headers"]]
    assert len(names) == len(set(names)), names
    return seen["request"], {name.lower(): value for name, value in seen["headers"]}


async def test_asked_over_the_route_that_dhcp_gives(
    driver: LinuxNetworkDriver, network: NetworkSpec, guests: Guests, tmp_path: Path
) -> None:
    group = open_group()
    await driver.ensure_security_group(group)
    port = port_of(network, "10.7.0.5", group)
    await driver.ensure_dhcp(dhcp_of(network, "10.7.0.0/24", port, server="10.7.0.2/24"))
    guest = await guests.boot(port)
    await asyncio.to_thread(guest.dhcp, tmp_path)
    forged = {"X-Forwarded-For": "10.7.0.9", "x-neutron-network-id": "other", "X-Instance-ID": "other", "Accept": "a/b"}
    request, headers = await ask(guest, **forged)
    assert request == "GET /metadata/latest/meta-data/?a=b HTTP/1.1"
    assert headers["x-forwarded-for"] == "10.7.0.5"
    assert headers["x-neutron-network-id"] == network.id
    assert headers["accept"] == "a/b"
    assert "x-instance-id" not in headers
    signature = headers["x-pileus-metadata-signature"]
    assert verify(SECRET, "X-Neutron-Network-ID", network.id, "10.7.0.5", signature)
    assert not verify(SECRET, "X-Neutron-Network-ID", network.id, "10.7.0.6", signature)


async def test_asked_through_the_router(driver: LinuxNetworkDriver, network: NetworkSpec, guests: Guests) -> None:
    group = open_group()
    await driver.ensure_security_group(group)
    router = RouterSpec(id=new_id(), interfaces=(leg_of(network, "10.7.0.1/24"),))
    await driver.ensure_router(router)
    guest = await guests.boot(port_of(network, "10.7.0.5", group), "10.7.0.5/24", "10.7.0.1")
    _, headers = await ask(guest)
    assert headers["x-forwarded-for"] == "10.7.0.5"
    assert headers["x-neutron-router-id"] == router.id
    assert verify(SECRET, "X-Neutron-Router-ID", router.id, "10.7.0.5", headers["x-pileus-metadata-signature"])


async def test_a_new_agent_answers_where_the_old_one_did(
    settings: Settings, upstream: MetadataUpstream, tmp_path: Path
) -> None:
    old = LinuxNetworkDriver(settings, upstream)
    guests = Guests(old)
    network, group = NetworkSpec(id=new_id()), open_group(allow())
    port = port_of(network, "10.7.0.5", group)
    await old.ensure_network(network)
    await old.ensure_security_group(group)
    dhcp = dhcp_of(network, "10.7.0.0/24", port, server="10.7.0.2/24")
    await old.ensure_dhcp(dhcp)
    await old.ensure_router(RouterSpec(id=new_id(), interfaces=(leg_of(network, "10.7.0.1/24"),)))
    guest = await guests.boot(port)
    before = await old.inventory()
    await old.close()
    new = LinuxNetworkDriver(settings, upstream)
    try:
        await new.start()
        assert await new.inventory() == before
        lease = await asyncio.to_thread(guest.dhcp, tmp_path)
        assert lease["ip"] == "10.7.0.5"
        _, headers = await ask(guest)
        assert headers["x-neutron-network-id"] == network.id
        await new.ensure_dhcp(dhcp)
        await new.ensure_port(port)
        assert (await ask(guest))[1]["x-forwarded-for"] == "10.7.0.5"
    finally:
        guests.remove()
        await new.ensure_all_gone()
        await new.close()
