"""What a guest learns of itself: by the metadata service, proven to be the guest, and by the config drive alike."""

import base64
import json

from sqlalchemy import select

from pileus.kernel.db import Tx
from pileus.kernel.testing import client
from pileus.services.compute.agent import ComputePart
from pileus.services.network.metadata_signature import (
    ADDRESS_HEADER,
    NETWORK_HEADER,
    SIGNATURE_HEADER,
    shared_secret,
    sign,
)
from pileus.services.network.model import SERVER, Port
from pileus.services.network.store import roles
from tests.api.compute.cloud import Cloud

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl me"


def _headers(cloud: Cloud, address: str) -> dict[str, str]:
    secret = shared_secret(cloud.runtime.config.state)
    signature = sign(secret, NETWORK_HEADER, cloud.network_id, address)
    return {ADDRESS_HEADER: address, NETWORK_HEADER: cloud.network_id, SIGNATURE_HEADER: signature}


async def test_a_guest_reads_its_metadata(cloud: Cloud) -> None:
    await cloud.ask("POST", "/os-keypairs", 200, {"keypair": {"name": "k", "public_key": KEY}})
    data = base64.b64encode(b"#!/bin/sh\necho hello\n").decode()
    id = await cloud.boot(key_name="k", user_data=data, metadata={"role": "web"})
    address = (await cloud.show(id))["addresses"]["net"][0]["addr"]
    async with client(cloud.runtime, **_headers(cloud, address)) as guest:

        async def read(path: str, want: int = 200) -> str:
            answer = await guest.get(f"/metadata/{path}")
            assert answer.status_code == want, answer.text
            return answer.text

        found = json.loads(await read("openstack/latest/meta_data.json"))
        assert (found["uuid"], found["name"], found["meta"]) == (id, "web", {"role": "web"})
        assert found["public_keys"] == {"k": KEY}
        assert await read("openstack/latest/user_data") == "#!/bin/sh\necho hello\n"
        network = json.loads(await read("openstack/latest/network_data.json"))
        assert network["networks"][0]["type"] == "ipv4_dhcp"
        assert await read("2009-04-04/meta-data/local-ipv4") == address
        assert await read("latest/meta-data/public-keys/0/openssh-key") == KEY
        assert "meta-data/" in await read("latest/")
        assert "openstack" not in await read("latest/meta-data/")
        await read("latest/meta-data/nothing", 404)
        assert (await guest.post("/metadata/openstack/latest/password", content=b"secret")).status_code == 200
        assert (await guest.post("/metadata/openstack/latest/password", content=b"other")).status_code == 409
    assert (await cloud.ask("GET", f"/servers/{id}/os-server-password", 200))["password"] == "secret"


async def test_nobody_else_reads_it(cloud: Cloud) -> None:
    address = (await cloud.show(await cloud.boot()))["addresses"]["net"][0]["addr"]
    good = _headers(cloud, address)
    for bad in ({}, {**good, ADDRESS_HEADER: "10.77.0.200"}, {**good, SIGNATURE_HEADER: "0" * 64}):
        async with client(cloud.runtime, **bad) as stranger:
            assert (await stranger.get("/metadata/openstack/latest/meta_data.json")).status_code == 403
    async with client(cloud.runtime, **_headers(cloud, "10.77.0.200")) as absent:
        assert (await absent.get("/metadata/latest/meta-data")).status_code == 404


async def test_no_port_gets_a_foreign_servers_metadata_by_its_words(cloud: Cloud) -> None:
    """Neither the words of a port nor a row that they once got into: only compute's own row of the card counts."""
    data = base64.b64encode(b"the secret of demo").decode()
    victim = await cloud.boot(user_data=data)
    ports = "/networking/v2.0/ports"
    network = (await cloud.alt.post("/networking/v2.0/networks", json={"network": {}})).json()["network"]["id"]
    subnet = {"network_id": network, "ip_version": 4, "cidr": "10.66.0.0/24"}
    await cloud.alt.post("/networking/v2.0/subnets", json={"subnet": subnet})
    claim = {"device_owner": "compute:nova", "device_id": victim}
    refused = await cloud.alt.post(ports, json={"port": {"network_id": network, **claim}})
    assert refused.status_code == 409, refused.text
    # An operator may write any word; it is still no card of the server.
    made = await cloud.admin.post(ports, json={"port": {"network_id": network, **claim}})
    assert made.status_code == 201, made.text
    address = made.json()["port"]["fixed_ips"][0]["ip_address"]
    headers = {ADDRESS_HEADER: address, NETWORK_HEADER: network}
    headers[SIGNATURE_HEADER] = sign(shared_secret(cloud.runtime.config.state), NETWORK_HEADER, network, address)
    async with client(cloud.runtime, **headers) as thief:
        for path in ("latest/user-data", "openstack/latest/user_data", "openstack/latest/meta_data.json"):
            assert (await thief.get(f"/metadata/{path}")).status_code == 404
        stolen = await thief.post("/metadata/openstack/latest/password", content=b"mine")
        assert stolen.status_code == 404

    def forge(tx: Tx) -> None:
        port = tx.get(Port, made.json()["port"]["id"])
        assert port is not None
        roles.hold(port, SERVER, victim)

    await cloud.runtime.db.write(forge)
    async with client(cloud.runtime, **headers) as thief:
        assert (await thief.get("/metadata/latest/user-data")).status_code == 404


async def test_a_server_and_its_port_are_of_one_project(cloud: Cloud) -> None:
    id = await cloud.boot()
    address = (await cloud.show(id))["addresses"]["net"][0]["addr"]

    def give_away(tx: Tx) -> None:
        port = tx.scalars(select(Port).where(Port.holder_id == id)).one()
        port.project_id = "another"

    async with client(cloud.runtime, **_headers(cloud, address)) as guest:
        assert (await guest.get("/metadata/latest/meta-data")).status_code == 200
        await cloud.runtime.db.write(give_away)
        assert (await guest.get("/metadata/latest/meta-data")).status_code == 404


async def test_the_config_drive_says_the_same(cloud: Cloud) -> None:
    file = {"path": "/etc/motd", "contents": base64.b64encode(b"hello").decode()}
    id = await cloud.boot(config_drive=True, personality=[file], adminPass="opensesame")
    assert (await cloud.show(id))["config_drive"] == "True"
    assert cloud.runtime.local_hosts is not None
    drivers = [
        part.driver
        for host in cloud.runtime.local_hosts.hosts.values()
        for part in host.parts
        if isinstance(part, ComputePart)
    ]
    (spec,) = [kept.spec for driver in drivers for guest, kept in driver._kept.items() if guest == id]  # type: ignore[attr-defined]
    drive = spec.config_drive
    found = json.loads(drive["openstack/latest/meta_data.json"])
    assert (found["uuid"], found["admin_pass"]) == (id, "opensesame")
    assert found["files"] == [{"path": "/etc/motd", "content_path": "/content/0000"}]
    assert drive["openstack/content/0000"] == b"hello"
    assert json.loads(drive["openstack/latest/network_data.json"])["links"]
