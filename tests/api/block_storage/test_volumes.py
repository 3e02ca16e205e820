"""Volumes over HTTP: what a user sees from creation to deletion."""

import pytest

from tests.api.block_storage.conftest import Cloud

MISSING = "11111111-2222-4333-8444-555555555555"


async def test_a_volume_lives_and_dies(cloud: Cloud) -> None:
    answer = await cloud.http.post("/volume/v3/volumes", json={"volume": {"size": 2, "name": "data"}})
    assert answer.status_code == 202
    volume = answer.json()["volume"]
    assert (volume["status"], volume["size"], volume["bootable"]) == ("creating", 2, "false")
    volume = await cloud.until("volume", volume["id"], "available")
    assert volume["availability_zone"] == "nova"
    assert volume["volume_type"] == "__DEFAULT__"
    answer = await cloud.http.delete(f"/volume/v3/volumes/{volume['id']}")
    assert answer.status_code == 202
    await cloud.until_gone("volume", volume["id"])


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        ({"size": "#$%"}, 400, "size"),
        ({"size": ""}, 400, "size"),
        ({"size": 0}, 400, "size"),
        ({"size": "-1"}, 400, "size"),
        ({"size": 1.5}, 400, "size"),
        ({}, 400, "size"),
        ({"size": 1, "name": "x" * 256}, 400, "name"),
        ({"size": 1, "metadata": {"k": "v" * 256}}, 400, "metadata"),
        ({"size": 1, "metadata": {"": "v"}}, 400, "metadata"),
        ({"size": 1, "metadata": []}, 400, "metadata"),
        ({"size": 1, "availability_zone": "mars"}, 400, "mars"),
        ({"size": 1, "multiattach": "perhaps"}, 400, "multiattach"),
        ({"size": 1, "snapshot_id": MISSING, "source_volid": MISSING}, 400, "exclude"),
        ({"size": 1, "volume_type": MISSING}, 404, MISSING),
        ({"size": 1, "snapshot_id": MISSING}, 404, MISSING),
        ({"size": 1, "source_volid": MISSING}, 404, MISSING),
        ({"size": 1001}, 413, "gigabytes"),
    ],
)
async def test_bad_wishes_are_refused_and_leave_nothing(
    cloud: Cloud, body: dict[str, object], status: int, word: str
) -> None:
    answer = await cloud.http.post("/volume/v3/volumes", json={"volume": body})
    assert answer.status_code == status, answer.text
    (fault,) = answer.json().values()
    assert fault["code"] == status
    assert word in fault["message"]
    assert (await cloud.http.get("/volume/v3/volumes")).json() == {"volumes": []}
