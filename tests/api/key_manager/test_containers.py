"""Containers over HTTP: what they hold, under which names."""

import pytest

from tests.api.key_manager.conftest import make


async def refs(http, *names: str) -> list[dict[str, str]]:
    """Return references to new secrets under these names."""
    found = [f"http://cloud.test/key-manager/v1/secrets/{await make(http, name=name)}" for name in names]
    return [{"name": name, "secret_ref": ref} for name, ref in zip(names, found, strict=True)]


async def test_a_container_holds_references(http):
    held = await refs(http, "public_key", "private_key")
    made = await http.post("containers", json={"type": "rsa", "name": "pair", "secret_refs": held})
    assert made.status_code == 201, made.text
    id = made.json()["container_ref"].rpartition("/")[2]
    shown = (await http.get(f"containers/{id}")).json()
    assert shown["secret_refs"] == held[::-1]
    assert (shown["type"], shown["name"], shown["consumers"], shown["creator_id"]) == ("rsa", "pair", [], "u1")
    assert (await http.get("containers?type=rsa")).json()["containers"] == [shown]
    assert (await http.get("containers?name=other")).json()["total"] == 0
    more = await http.post(f"containers/{id}/secrets", json=held[0])
    assert more.status_code == 400
    assert (await http.delete(held[0]["secret_ref"])).status_code == 204
    assert (await http.get(f"containers/{id}")).json()["secret_refs"] == held[1:]
    assert (await http.delete(f"containers/{id}")).status_code == 204
    assert (await http.get(held[1]["secret_ref"])).status_code == 200


async def test_a_generic_container_gets_and_loses_secrets(http):
    (one,) = await refs(http, "one")
    id = (await http.post("containers", json={"type": "generic"})).json()["container_ref"].rpartition("/")[2]
    path = f"containers/{id}/secrets"
    added = await http.post(path, json=one)
    assert (added.status_code, added.json()["container_ref"].endswith(id)) == (201, True)
    assert (await http.post(path, json=one)).status_code == 409
    assert (await http.post(path, json={"secret_ref": one["secret_ref"]})).status_code == 201
    assert (await http.get(f"containers/{id}")).json()["secret_refs"] == [{**one, "name": None}, one]
    assert (await http.request("DELETE", path, json={**one, "name": "two"})).status_code == 404
    assert (await http.request("DELETE", path, json=one)).status_code == 204
    assert len((await http.get(f"containers/{id}")).json()["secret_refs"]) == 1


async def test_names_and_references_must_fit(http, stranger):
    pair = await refs(http, "public_key", "private_key")
    (foreign,) = await refs(stranger, "public_key")
    (odd,) = await refs(http, "shape")
    for status, type, held in (
        (400, "rsa", pair[:1]),
        (400, "rsa", [*pair, odd]),
        (400, "certificate", pair),
        (400, "generic", [pair[0], {**pair[0], "name": "again"}]),
        (400, "generic", [pair[0], {**odd, "name": "public_key"}]),
        (400, "generic", [{**odd, "secret_ref": odd["secret_ref"].replace("cloud.test", "elsewhere.test")}]),
        (400, "heap", []),
        (404, "generic", [foreign]),
        (404, "generic", [{"name": "x", "secret_ref": "http://cloud.test/key-manager/v1/secrets/none"}]),
    ):
        answer = await http.post("containers", json={"type": type, "secret_refs": held})
        assert answer.status_code == status, (type, held, answer.text)
    assert (await http.get("containers")).json()["total"] == 0


@pytest.mark.parametrize("path", ["containers", "secrets", "orders"])
async def test_there_is_nothing_under_no_id(http, path):
    assert (await http.get(f"{path}/none")).status_code == 404
