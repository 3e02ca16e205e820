"""Secrets over HTTP: their payloads on the way in and out, how they are found, when they are gone."""

import base64

import pytest

from pileus.kernel import clock
from pileus.services.key_manager.model import Secret
from tests.api.key_manager.conftest import make, speaking

PUT = {"Content-Type": "application/octet-stream"}


async def test_a_secret_is_made_in_one_step_and_read_back(http):
    id = await make(http, secret_type="passphrase", algorithm="aes", bit_length=256, mode="cbc")
    shown = (await http.get(f"secrets/{id}")).json()
    assert shown.pop("secret_ref") == f"http://cloud.test/key-manager/v1/secrets/{id}"
    assert len(shown.pop("created")) == len(shown.pop("updated")) == len("2026-01-31T09:30:00")
    assert shown == {
        "status": "ACTIVE", "name": "s", "secret_type": "passphrase", "algorithm": "aes", "bit_length": 256,
        "mode": "cbc", "expiration": None, "creator_id": "u1", "consumers": [],
        "content_types": {"default": "text/plain"},
    }  # fmt: skip
    payload = await http.get(f"secrets/{id}/payload", headers={"Accept": "text/plain"})
    assert (payload.text, payload.headers["content-type"]) == ("hunter2", "text/plain")
    assert (await http.get(f"secrets/{id}", headers={"Accept": "text/plain"})).text == "hunter2"  # the old way
    assert (await http.get(f"secrets/{id}/payload")).text == "hunter2"
    assert (await http.get(f"secrets/{id}/payload", headers={"Accept": "application/json"})).status_code == 406


async def test_a_secret_is_made_in_two_steps(http):
    id = await make(http, payload=None, payload_content_type=None)
    assert "content_types" not in (await http.get(f"secrets/{id}")).json()
    assert (await http.get(f"secrets/{id}/payload")).status_code == 404
    assert (await http.put(f"secrets/{id}", content=b"", headers=PUT)).status_code == 400
    assert (await http.put(f"secrets/{id}", json={"payload": "x"})).status_code == 415
    assert (await http.put(f"secrets/{id}", content=b"\xff\x00", headers=PUT)).status_code == 204
    assert (await http.put(f"secrets/{id}", content=b"again", headers=PUT)).status_code == 409
    assert (await http.get(f"secrets/{id}/payload")).content == b"\xff\x00"
    refused = await http.get(f"secrets/{id}/payload", headers={"Accept": "text/plain"})
    assert refused.status_code == 406
    assert refused.json()["title"] == "Not Acceptable"
    other = await make(http, payload=None, payload_content_type=None)
    encoded = {**PUT, "Content-Encoding": "base64"}
    assert (await http.put(f"secrets/{other}", content=base64.b64encode(b"deep"), headers=encoded)).status_code == 204
    assert (await http.get(f"secrets/{other}/payload")).content == b"deep"


@pytest.mark.parametrize(
    "wrong",
    [
        {"payload_content_type": None},
        {"payload_content_type": "text/html"},
        {"payload_content_type": "text/plain; charset=latin-1"},
        {"payload_content_type": "application/octet-stream"},
        {"payload_content_encoding": "base64"},
        {"payload_content_type": "application/octet-stream", "payload_content_encoding": "base64", "payload": "!?"},
        {"payload": ""},
        {"payload": None},
        {"secret_type": "riddle"},
        {"bit_length": 0},
        {"expiration": "2001-01-01T00:00:00"},
        {"expiration": "soon"},
        {"transport_key_id": "5eed0000-0000-4000-8000-00000000000a"},
        {"sceret": "misspelt"},
    ],
)
async def test_what_cannot_be_is_refused(http, wrong):
    body = {"payload": "x", "payload_content_type": "text/plain", **wrong}
    answer = await http.post("secrets", json={name: value for name, value in body.items() if value is not None})
    assert answer.status_code == 400, answer.text
    assert answer.json()["description"]
    assert (await http.get("secrets")).json()["total"] == 0


async def test_a_secret_may_be_too_large_and_a_body_no_json(http):
    body = {"payload": "x" * 20_001, "payload_content_type": "text/plain"}
    assert (await http.post("secrets", json=body)).status_code == 413
    answer = await http.post(
        "secrets", content=b"payload=x", headers={"Content-Type": "application/x-www-form-urlencoded"}
    )
    assert answer.status_code == 415


async def test_lists_are_filtered_sorted_and_paged(http):
    for number in range(12):
        await make(http, name=f"key {number:02}", algorithm="AES", bit_length=128 + 64 * (number % 2), mode="cbc")
    first = (await http.get("secrets")).json()
    assert (len(first["secrets"]), first["total"], "previous" in first) == (10, 12, False)
    second = (await http.get(first["next"])).json()
    assert [one["name"] for one in second["secrets"]] == ["key 10", "key 11"]
    assert "next" not in second
    assert second["previous"].endswith("secrets?limit=10&offset=0")

    async def names(query: str) -> list[str]:
        return [one["name"][4:] for one in (await http.get(f"secrets?{query}")).json()["secrets"]]

    assert await names("bits=192&sort=name:desc&limit=2") == ["11", "09"]
    assert await names("alg=aes&mode=CBC&name=key 07") == ["07"]
    assert await names("name=key%250_&limit=2&offset=8") == ["08", "09"]
    assert await names("created=lt:2001-01-01T00:00:00") == []
    assert await names("created=gt:2001-01-01T00:00:00,lte:2999-01-01T00:00:00&limit=1") == ["00"]
    assert await names("secret_type=symmetric") == []
    assert await names("limit=1&offset=-4") == ["00"]
    for wrong in ("sort=payload", "sort=name:up", "created=gt:yesterday", "colour=red", "name=%25a%25b%25"):
        assert (await http.get(f"secrets?{wrong}")).status_code == 400, wrong
    paged = (await http.get("secrets?bits=192&limit=2&offset=2")).json()
    assert paged["total"] == 6
    assert paged["next"].endswith("?limit=2&offset=4&bits=192")


async def test_an_expired_secret_is_gone(http, cloud):
    id = await make(http, expiration="2999-01-01T00:00:00")
    assert (await http.get(f"secrets/{id}")).json()["expiration"] == "2999-01-01T00:00:00"

    def expire(tx):
        tx.get(Secret, id).expires_at = clock.now()

    await cloud.db.write(expire)
    assert (await http.get(f"secrets/{id}")).status_code == 404
    assert (await http.get(f"secrets/{id}/payload")).status_code == 404
    assert (await http.get("secrets")).json()["total"] == 0


async def test_metadata_is_kept_by_key_and_whole(http):
    id = await make(http)
    path = f"secrets/{id}/metadata"
    answer = await http.put(path, json={"metadata": {"Purpose": "tests", "place": "12.3, -4"}})
    assert (answer.status_code, answer.json()) == (201, {"metadata_ref": f"http://cloud.test/key-manager/v1/{path}"})
    assert (await http.get(path)).json() == {"metadata": {"purpose": "tests", "place": "12.3, -4"}}
    added = await http.post(path, json={"key": "extra", "value": "1"})
    assert (added.status_code, added.headers["location"].endswith("/metadata/extra")) == (201, True)
    assert (await http.post(path, json={"key": "extra", "value": "1"})).status_code == 409
    assert (await http.put(f"{path}/extra", json={"key": "extra", "value": "2"})).status_code == 200
    assert (await http.get(f"{path}/extra")).json() == {"key": "extra", "value": "2"}
    assert (await http.put(f"{path}/extra", json={"key": "other", "value": "2"})).status_code == 409
    assert (await http.delete(f"{path}/extra")).status_code == 204
    assert (await http.get(f"{path}/extra")).status_code == 404
    assert (await http.post(path, json={"key": "a/b", "value": "1"})).status_code == 400


async def test_an_older_version_knows_no_consumers(cloud, http):
    id = await make(http)
    async with speaking(cloud, "p1/u1/member", **{"OpenStack-API-Version": "key-manager 1.0"}) as old:
        assert "consumers" not in (await old.get(f"secrets/{id}")).json()
        assert (await old.get(f"secrets/{id}/consumers")).status_code == 404
    async with speaking(cloud, "p1/u1/member", **{"OpenStack-API-Version": "key-manager 1.9"}) as new:
        assert (await new.get(f"secrets/{id}")).status_code == 406


async def test_version_documents(cloud):
    async with speaking(cloud, "", **{"X-Nothing": "1"}) as http:
        old = await http.get("http://cloud.test/key-manager")
        assert (old.status_code, old.json()["versions"]["values"][0]["status"]) == (300, "stable")
        new = await http.get("http://cloud.test/key-manager/v1/", headers={"OpenStack-API-Version": "key-manager 1.1"})
        assert (new.json()["version"]["min_version"], new.json()["version"]["max_version"]) == ("1.0", "1.2")
