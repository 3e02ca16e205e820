"""What an operation does for a user it does with that user's sight: private types, images of others."""

from pileus.kernel.db import Tx
from pileus.services.compute.model import Server
from pileus.services.compute.operations.placing import servers_of_hint
from pileus.services.compute.store import servers as store
from tests.api.compute.cloud import Cloud, drivers

TYPES = "/volume/v3/types"


async def private_type(cloud: Cloud) -> str:
    body = {"volume_type": {"name": "gold", "os-volume-type-access:is_public": False}}
    answer = await cloud.admin.post(TYPES, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["volume_type"]["id"]


def on_volume(cloud: Cloud, volume_type: str | None = None, **more: object) -> dict[str, object]:
    device = {"boot_index": 0, "source_type": "image", "uuid": cloud.image_id, "volume_size": 1}
    device |= {"destination_type": "volume", "delete_on_termination": True, **more}
    return device if volume_type is None else {**device, "volume_type": volume_type}


def server_of(cloud: Cloud, device: dict[str, object], image: str = "") -> dict[str, object]:
    server = {"name": "x", "imageRef": image, "flavorRef": "42", "networks": "none"}
    return {"server": {**server, "block_device_mapping_v2": [device]}}


async def test_a_private_volume_type_is_refused_to_those_who_do_not_see_it(cloud: Cloud) -> None:
    gold = await private_type(cloud)
    for name in (gold, "gold"):
        body = server_of(cloud, on_volume(cloud, name))
        message = await cloud.refused("POST", "/servers", 400, body, version="2.67")
        assert f"Volume type {name} could not be found" in message
    project = (await cloud.show(await cloud.boot()))["tenant_id"]
    grant = await cloud.admin.post(f"{TYPES}/{gold}/action", json={"addProjectAccess": {"project": project}})
    assert grant.status_code == 202, grant.text
    made = await cloud.ask("POST", "/servers", 202, server_of(cloud, on_volume(cloud, "gold")), version="2.67")
    assert (await cloud.rest(made["server"]["id"]))["status"] == "ACTIVE"


async def test_what_was_taken_away_meanwhile_is_not_used(cloud: Cloud) -> None:
    """The right to the type is withdrawn between the request and the operation, the image is hidden likewise."""
    gold = await private_type(cloud)
    project = (await cloud.show(await cloud.boot()))["tenant_id"]
    await cloud.admin.post(f"{TYPES}/{gold}/action", json={"addProjectAccess": {"project": project}})
    image = (await cloud.admin.post("/image/v2/images", json=_TINY)).json()["id"]
    await cloud.admin.put(f"/image/v2/images/{image}/file", content=b"0" * 4096, headers=_OCTETS)
    worker = cloud.runtime.worker
    await worker.stop()
    first = await cloud.ask("POST", "/servers", 202, server_of(cloud, on_volume(cloud, "gold")), version="2.67")
    plain = {"name": "y", "imageRef": image, "flavorRef": "42", "networks": "none"}
    second = await cloud.ask("POST", "/servers", 202, {"server": plain}, version="2.37")
    await cloud.admin.post(f"{TYPES}/{gold}/action", json={"removeProjectAccess": {"project": project}})
    hidden = [{"op": "replace", "path": "/visibility", "value": "private"}]
    headers = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
    answer = await cloud.admin.patch(f"/image/v2/images/{image}", json=hidden, headers=headers)
    assert answer.status_code == 200, answer.text
    await worker.start()
    faults = [(await cloud.rest(made["server"]["id"]))["fault"]["message"] for made in (first, second)]
    assert "gold could not be found" in faults[0]
    assert f"Can not find requested image {image}" in faults[1]


_TINY = {"name": "lent", "disk_format": "raw", "container_format": "bare", "visibility": "public"}
_OCTETS = {"Content-Type": "application/octet-stream"}


async def test_an_image_beside_a_volume_that_boots(cloud: Cloud) -> None:
    """The volume boots; the server shows the image it was asked for, as upstream's does."""
    made = await cloud.ask("POST", "/servers", 202, server_of(cloud, on_volume(cloud), cloud.image_id), version="2.37")
    server = await cloud.rest(made["server"]["id"])
    assert server["status"] == "ACTIVE", server
    assert server["image"]["id"] == cloud.image_id
    (volume,) = server["os-extended-volumes:volumes_attached"]
    (guest,) = [guest for driver in drivers(cloud) for guest in await driver.guests()]
    assert guest.disks == (volume["id"],), "no disk of its own beside the volume"


async def test_a_hint_leads_only_to_servers_of_the_same_project(cloud: Cloud) -> None:
    """Nobody gets next to another project's guest, or learns where it is, by knowing its id."""
    server_id = await cloud.boot()

    def hosts(tx: Tx) -> tuple[frozenset[str], frozenset[str]]:
        named, stranger = store.get_server(tx, server_id), Server(project_id="another")
        assert named is not None
        return servers_of_hint(tx, named, [server_id]), servers_of_hint(tx, stranger, server_id)

    own, foreign = await cloud.runtime.db.read(hosts)
    assert len(own) == 1
    assert foreign == frozenset()


async def test_foreign_things_in_a_creation_are_answered_like_none(cloud: Cloud) -> None:
    """What the operator has, and shows nobody: a flavor, an image, a network, a port."""
    flavor = {"name": "own", "ram": 64, "vcpus": 1, "disk": 0, "os-flavor-access:is_public": False}
    made = await cloud.ask("POST", "/flavors", 200, {"flavor": flavor}, who=cloud.admin)
    image = (await cloud.admin.post("/image/v2/images", json={"name": "own", "visibility": "private"})).json()["id"]
    network = (await cloud.admin.post(f"{NETWORKING}/networks", json={"network": {}})).json()["network"]["id"]
    body = {"port": {"network_id": network}}
    port = (await cloud.admin.post(f"{NETWORKING}/ports", json=body)).json()["port"]["id"]
    for change, id in (
        (lambda id: {"flavorRef": id}, made["flavor"]["id"]),
        (lambda id: {"imageRef": id}, image),
        (lambda id: {"networks": [{"uuid": id}]}, network),
        (lambda id: {"networks": [{"port": id}]}, port),
    ):
        server = {"name": "x", "imageRef": cloud.image_id, "flavorRef": "42", "networks": "none"}
        refusals = [
            await cloud.refused("POST", "/servers", 400, {"server": {**server, **change(tried)}}, version="2.37")
            for tried in (id, NOWHERE)
        ]
        assert refusals[0].replace(id, NOWHERE) == refusals[1]


NETWORKING = "/networking/v2.0"
NOWHERE = "00000000-0000-4000-8000-000000000000"
