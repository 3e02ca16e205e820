"""A piece of an ordinary day in a cloud: users come, do a little of everything, get something wrong, and clean up.

Rule: afterwards the cloud holds what it held before, so whatever has grown in it was forgotten by somebody.
"""

from contextlib import suppress
from typing import Any

from pileus.kernel import ids
from pileus.kernel.rest.local import LocalClient, Refused
from pileus.kernel.runtime import Runtime
from pileus.kernel.testing import client
from pileus.services.identity.testing import login
from tests.sim.services.cloud import COMPUTE, IMAGE, NETWORK, VOLUME, User, new_name

IDENTITY = "/identity/v3"


async def live(cloud: Runtime) -> None:
    """Do all of it once; nothing is left but what is remembered for a while."""
    user = await User.of(cloud)
    await use_servers(user)
    await use_volumes(user)
    await use_networks(user)
    await use_images(user)
    await _people(cloud)
    await _strangers(cloud)
    await user.wipe()
    await user.idle()


async def use_servers(user: User) -> None:
    name = new_name()
    await user.api.post(f"{COMPUTE}/os-keypairs", {"keypair": {"name": name}})
    group = {"server_group": {"name": name, "policies": ["anti-affinity"]}}
    made = await user.api.post(f"{COMPUTE}/os-server-groups", group, x_openstack_nova_api_version="2.60")
    server, volume = await user.attached()
    await user.act_on(server, "resize", {"flavorRef": "84"})
    await user.act_on(server, "confirmResize")
    await user.act_on(server, "reboot", {"type": "HARD"})
    await user.api.post(f"{COMPUTE}/servers/{server}/metadata", {"metadata": {name: name}})
    await user.api.get(f"{COMPUTE}/servers/detail", name=name)
    await user.api.get(f"{COMPUTE}/servers/{server}/os-instance-actions")
    await user.api.delete(f"{COMPUTE}/servers/{server}/os-volume_attachments/{volume}")
    await user.idle()
    await user.api.delete(f"{COMPUTE}/os-keypairs/{name}")
    await user.api.delete(f"{COMPUTE}/os-server-groups/{made['server_group']['id']}")


async def use_volumes(user: User) -> None:
    volume = await user.volume()
    made = await user.api.post(f"{VOLUME}/snapshots", {"snapshot": {"volume_id": volume, "name": new_name()}})
    await user.idle()
    await user.api.delete(f"{VOLUME}/snapshots/{made['snapshot']['id']}")
    transfer = {"transfer": {"volume_id": volume, "name": new_name()}}
    given = await user.api.post(f"{VOLUME}/os-volume-transfer", transfer)
    await user.api.delete(f"{VOLUME}/os-volume-transfer/{given['transfer']['id']}")
    await user.idle()


async def use_networks(user: User) -> None:
    network = (await user.api.post(f"{NETWORK}/networks", {"network": {"name": new_name()}}))["network"]["id"]
    subnet = {"network_id": network, "ip_version": 4, "cidr": "10.9.0.0/24"}
    await user.api.post(f"{NETWORK}/subnets", {"subnet": subnet})
    port = (await user.api.post(f"{NETWORK}/ports", {"port": {"network_id": network}}))["port"]["id"]
    await user.api.put(f"{NETWORK}/ports/{port}/tags", {"tags": [new_name()]})
    group = await user.api.post(f"{NETWORK}/security-groups", {"security_group": {"name": new_name()}})
    rule = {"security_group_id": group["security_group"]["id"], "direction": "ingress", "protocol": "tcp"}
    await user.api.post(f"{NETWORK}/security-group-rules", {"security_group_rule": rule})
    await user.api.delete(f"{NETWORK}/ports/{port}")
    await user.api.delete(f"{NETWORK}/networks/{network}")
    await user.api.delete(f"{NETWORK}/security-groups/{group['security_group']['id']}")


async def use_images(user: User) -> None:
    body = {"name": new_name(), "disk_format": "raw", "container_format": "bare", "tags": [new_name()]}
    image = (await user.api.post(f"{IMAGE}/images", body))["id"]
    stage = {"Content-Type": "application/octet-stream"}
    await user.api.call("PUT", f"{IMAGE}/images/{image}/stage", bytes(1024), headers=stage)
    await user.api.post(f"{IMAGE}/images/{image}/import", {"method": {"name": "glance-direct"}})
    await user.api.delete(f"{IMAGE}/images/{image}")


async def _people(cloud: Runtime) -> None:
    """A user is made, logs in, gives up a token, and is gone."""
    admin = LocalClient(cloud, await login(cloud, "admin"))
    person: dict[str, Any] = {"name": new_name(), "password": "Sufficient-1", "domain_id": "default"}
    made = (await admin.post(f"{IDENTITY}/users", {"user": person}))["user"]["id"]
    who = {"name": person["name"], "password": person["password"], "domain": {"id": "default"}}
    body = {"auth": {"identity": {"methods": ["password"], "password": {"user": who}}}}
    _, headers = await LocalClient(cloud).call("POST", f"{IDENTITY}/auth/tokens", body)
    mine = LocalClient(cloud, headers["x-subject-token"])
    await mine.get(f"{IDENTITY}/users/{made}")
    credential = {"application_credential": {"name": new_name()}}
    with suppress(Refused):  # it has no role anywhere
        await mine.post(f"{IDENTITY}/users/{made}/application_credentials", credential)
    revoked = {"x_subject_token": headers["x-subject-token"]}
    await admin.call("DELETE", f"{IDENTITY}/auth/tokens", headers=revoked)
    await admin.delete(f"{IDENTITY}/users/{made}")


async def _strangers(cloud: Runtime) -> None:
    """Requests that are refused, each in words of its own; and one that is sent twice."""
    token = await login(cloud)
    async with client(cloud, token) as http:
        assert (await http.get(f"/{new_name()}/{ids.new_id()}")).status_code == 404
        assert (await http.get(f"{COMPUTE}/servers/{ids.new_id()}")).status_code == 404
        assert (await http.get(f"{NETWORK}/networks?name={new_name()}")).status_code == 200
        assert (await http.post(f"{NETWORK}/networks", json={new_name(): 1})).status_code == 400
        key = {"Idempotency-Key": ids.new_id()}
        first = await http.post(f"{NETWORK}/networks", json={"network": {"name": new_name()}}, headers=key)
        assert first.status_code == 201
        assert (await http.delete(f"{NETWORK}/networks/{first.json()['network']['id']}")).status_code == 204
    async with client(cloud, ids.new_id()) as http:
        assert (await http.get(f"{COMPUTE}/servers")).status_code == 401
    who = {"name": new_name(), "password": new_name(), "domain": {"id": "default"}}
    body = {"auth": {"identity": {"methods": ["password"], "password": {"user": who}}}}
    with suppress(Refused):
        await LocalClient(cloud).post(f"{IDENTITY}/auth/tokens", body)
