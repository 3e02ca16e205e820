"""Volume types, extra specs and private types."""

import httpx
import pytest

from tests.api.block_storage.conftest import Cloud

MISSING = "11111111-2222-4333-8444-555555555555"
PATH = "/volume/v3/types"


async def make_type(cloud: Cloud, **body: object) -> dict[str, object]:
    answer = await cloud.admin.post(PATH, json={"volume_type": {"name": "gold", **body}})
    assert answer.status_code == 200, answer.text
    return answer.json()["volume_type"]


async def test_a_type_lives_and_dies(cloud: Cloud) -> None:
    made = await make_type(cloud, description="fast", extra_specs={"vendor_name": "Open Source"})
    assert (made["name"], made["is_public"], made["os-volume-type-access:is_public"]) == ("gold", True, True)
    one = f"{PATH}/{made['id']}"
    seen = (await cloud.http.get(one)).json()["volume_type"]
    assert "qos_specs_id" not in seen
    assert seen["extra_specs"] == {}, "what it takes to make it is the operator's business"
    assert [entry["name"] for entry in (await cloud.http.get(PATH)).json()["volume_types"]] == ["gold", "__DEFAULT__"]
    answer = await cloud.admin.put(one, json={"volume_type": {"name": "silver", "description": "slow"}})
    assert (answer.json()["volume_type"]["name"], answer.json()["volume_type"]["description"]) == ("silver", "slow")
    volume = await cloud.volume(volume_type="silver")
    assert volume["volume_type"] == "silver"
    assert (await cloud.admin.delete(one)).status_code == 400, "it is in use"
    await cloud.http.delete(f"/volume/v3/volumes/{volume['id']}")
    await cloud.until_gone("volume", volume["id"])
    assert (await cloud.admin.delete(one)).status_code == 202
    assert (await cloud.admin.get(one)).status_code == 404


async def test_the_default_type_keeps_its_name(cloud: Cloud) -> None:
    default = (await cloud.admin.get(f"{PATH}/default")).json()["volume_type"]
    answer = await cloud.admin.put(f"{PATH}/{default['id']}", json={"volume_type": {"name": "other"}})
    assert answer.status_code == 400
    assert (await cloud.admin.get(f"{PATH}/default")).status_code == 200


async def test_a_number_beyond_64_bits_is_refused(cloud: Cloud) -> None:
    assert (await cloud.http.get(f"{PATH}?offset={2**63}")).status_code == 400


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": ""}, 400),
        ({"name": " "}, 400),
        ({"name": "x" * 256}, 400),
        ({}, 400),
        ({"name": "__DEFAULT__"}, 409),
        ({"name": "n", "os-volume-type-access:is_public": "maybe"}, 400),
        ({"name": "n", "extra_specs": {"bad key!": "x"}}, 400),
        ({"name": "n", "extra_specs": {"k": 1}}, 400),
    ],
)
async def test_bad_types_are_refused(cloud: Cloud, body: dict[str, object], status: int) -> None:
    assert (await cloud.admin.post(PATH, json={"volume_type": body})).status_code == status


async def test_users_do_not_manage_types(cloud: Cloud) -> None:
    made = await make_type(cloud)
    one = f"{PATH}/{made['id']}"
    assert (await cloud.http.post(PATH, json={"volume_type": {"name": "mine"}})).status_code == 403
    assert (await cloud.http.put(one, json={"volume_type": {"name": "mine"}})).status_code == 403
    assert (await cloud.http.delete(one)).status_code == 403
    assert (await cloud.http.post(f"{one}/extra_specs", json={"extra_specs": {"a": "b"}})).status_code == 403
    assert (await cloud.admin.put(one, json={"volume_type": {}})).status_code == 400
    assert (await cloud.admin.get(f"{PATH}/{MISSING}")).status_code == 404


async def test_the_default_type_stays(cloud: Cloud) -> None:
    default = (await cloud.http.get(f"{PATH}/default")).json()["volume_type"]
    assert default["name"] == "__DEFAULT__"
    assert (await cloud.admin.delete(f"{PATH}/{default['id']}")).status_code == 400


async def test_extra_specs(cloud: Cloud) -> None:
    path, admin = f"{PATH}/{(await make_type(cloud))['id']}/extra_specs", cloud.admin
    specs = {"a": "1", "b": "2"}
    assert (await admin.post(path, json={"extra_specs": specs})).json() == {"extra_specs": specs}
    assert (await admin.get(f"{path}/a")).json() == {"a": "1"}
    assert (await admin.put(f"{path}/a", json={"a": "3"})).json() == {"a": "3"}
    assert (await admin.get(path)).json() == {"extra_specs": {"a": "3", "b": "2"}}
    assert (await admin.put(f"{path}/a", json={"b": "3"})).status_code == 400
    assert (await admin.put(f"{path}/a", json={"a": "1", "b": "3"})).status_code == 400
    assert (await admin.put(f"{path}/a", content=b"")).status_code == 400
    assert (await admin.post(path, json={"extra_specs": ["invalid"]})).status_code == 400
    assert (await admin.delete(f"{path}/a")).status_code == 202
    assert (await admin.delete(f"{path}/a")).status_code == 404
    assert (await admin.get(f"{path}/a")).status_code == 404
    assert (await admin.get(f"{PATH}/{MISSING}/extra_specs")).status_code == 404


async def test_a_private_type_is_for_those_who_were_let_in(cloud: Cloud) -> None:
    made = await make_type(cloud, **{"os-volume-type-access:is_public": False})
    one, admin = f"{PATH}/{made['id']}", cloud.admin
    wish = {"volume": {"size": 1, "volume_type": made["id"]}}
    assert (await cloud.http.get(one)).status_code == 404
    assert (await cloud.http.post("/volume/v3/volumes", json=wish)).status_code == 404
    project = (await cloud.show("volume", (await cloud.volume())["id"]))["os-vol-tenant-attr:tenant_id"]
    let_in = {"addProjectAccess": {"project": project}}
    assert (await cloud.http.post(f"{one}/action", json=let_in)).status_code == 404
    assert (await admin.post(f"{one}/action", json=let_in)).status_code == 202
    assert (await admin.post(f"{one}/action", json=let_in)).status_code == 409
    listed = (await admin.get(f"{one}/os-volume-type-access")).json()["volume_type_access"]
    assert listed == [{"volume_type_id": made["id"], "project_id": project}]
    assert (await cloud.volume(volume_type=made["id"]))["volume_type"] == "gold"
    assert (await cloud.make("volume", admin, size=1, volume_type=made["id"]))["volume_type"] == "gold"
    keep_out = {"removeProjectAccess": {"project": project}}
    assert (await admin.post(f"{one}/action", json=keep_out)).status_code == 202
    assert (await admin.post(f"{one}/action", json=keep_out)).status_code == 404
    default = (await cloud.http.get(f"{PATH}/default")).json()["volume_type"]["id"]
    assert (await admin.post(f"{PATH}/{default}/action", json=let_in)).status_code == 409
    assert (await admin.get(f"{PATH}/{default}/os-volume-type-access")).status_code == 404


async def test_a_volume_changes_its_type(cloud: Cloud) -> None:
    await make_type(cloud, extra_specs={"multiattach": "<is> True"})
    volume = await cloud.volume()
    assert (await cloud.act(volume["id"], "os-retype", {"new_type": "gold"})).status_code == 202
    shown = await cloud.show("volume", volume["id"])
    assert (shown["volume_type"], shown["multiattach"]) == ("gold", True)
    assert (await cloud.act(volume["id"], "os-retype", {"new_type": "gold"})).status_code == 400
    assert (await cloud.act(volume["id"], "os-retype", {"new_type": MISSING})).status_code == 404
    await cloud.admin.post(PATH, json={"volume_type": {"name": "far", "extra_specs": {"vendor_name": "Acme"}}})
    answer = await cloud.act(volume["id"], "os-retype", {"new_type": "far", "migration_policy": "never"})
    assert answer.status_code == 400
    assert "vendor_name=Acme" in answer.json()["badRequest"]["message"]


async def test_a_type_no_pool_offers_ends_in_an_error_with_a_message(cloud: Cloud) -> None:
    await make_type(cloud, extra_specs={"vendor_name": "Acme"})
    answer = await cloud.http.post("/volume/v3/volumes", json={"volume": {"size": 1, "volume_type": "gold"}})
    volume = await cloud.until("volume", answer.json()["volume"]["id"], "error")
    (message,) = (await cloud.http.get("/volume/v3/messages")).json()["messages"]
    assert message["resource_uuid"] == volume["id"]
    assert "does not offer vendor_name=Acme" in message["user_message"]
    one = f"/volume/v3/messages/{message['id']}"
    assert (await cloud.http.get(one)).json()["message"] == message
    assert (await cloud.other.get(one)).status_code == 404
    assert (await cloud.http.delete(one)).status_code == 204
    assert (await cloud.http.get(one)).status_code == 404


async def test_types_are_found_by_their_extra_specs(cloud: Cloud) -> None:
    for name, specs in (
        ("fast", {"tier": "gold", "RESKEY:availability_zones": "nova, mars"}),
        ("slow", {"tier": "tin", "multiattach": "<is> True"}),
    ):
        wish = {"volume_type": {"name": name, "extra_specs": specs}}
        assert (await cloud.admin.post("/volume/v3/types", json=wish)).status_code == 200

    async def names(query: str, http: httpx.AsyncClient = cloud.admin, version: str = "3.52") -> list[str] | int:
        headers = {"OpenStack-API-Version": f"volume {version}"}
        answer = await http.get(f"/volume/v3/types?{query}", headers=headers)
        return (
            [one["name"] for one in answer.json()["volume_types"]] if answer.status_code == 200 else answer.status_code
        )

    assert await names("extra_specs={'tier':'gold'}") == ["fast"]
    assert await names("extra_specs={'tier':'gold','RESKEY:availability_zones':'mars'}") == ["fast"]
    assert await names("extra_specs={'tier':'gold','RESKEY:availability_zones':'venus'}") == []
    assert await names("extra_specs={'multiattach':'<is> True'}", cloud.http) == ["slow"]
    assert await names("extra_specs={'tier':'gold'}", cloud.http) == []  # he may not see it, so he does not learn it
    assert await names("extra_specs=gold") == 400
    assert await names("extra_specs={'tier':'gold'}", version="3.51") == 400
    assert await names("bogus=1", cloud.http) == 400
    assert "fast" in await names("bogus=1", cloud.http, "3.51")
