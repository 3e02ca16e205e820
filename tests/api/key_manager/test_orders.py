"""Orders over HTTP, the quota of a project, and the stores; and orders whose maker is killed."""

import itertools

import pytest
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_private_key, load_pem_public_key
from sqlalchemy import select

from pileus.kernel import clock
from pileus.kernel.operations import OperationRow, StepRow
from pileus.kernel.testing import running
from pileus.kernel.testing.interruptions import walk
from pileus.services.key_manager.model import Order, Secret
from pileus.services.key_manager.service import SERVICE
from tests.api.key_manager.conftest import make, speaking
from tests.api.object_store.conftest import TOKENS


async def order(http, type: str, **meta) -> dict:
    """Order something and wait until the order has ended."""
    made = await http.post("orders", json={"type": type, "meta": {"name": "o", **meta}})
    assert made.status_code == 202, made.text
    for _ in range(300):
        shown = (await http.get(made.json()["order_ref"])).json()
        if shown["status"] != "PENDING":
            return shown
        await clock.sleep(0.1)
    raise AssertionError("the order did not end")


async def payload(http, ref: str) -> bytes:
    return (await http.get(f"{ref}/payload", headers={"Accept": "application/octet-stream"})).content


async def test_a_key_is_ordered(http, stranger):
    meta = {"algorithm": "AES", "bit_length": 256, "mode": "cbc", "payload_content_type": "application/octet-stream"}
    shown = await order(http, "key", **meta)
    assert (shown["status"], shown["type"], shown["creator_id"]) == ("ACTIVE", "key", "u1")
    assert (shown["meta"], shown["sub_status"]) == ({"name": "o", **meta}, "Unknown")
    secret = (await http.get(shown["secret_ref"])).json()
    assert (secret["secret_type"], secret["algorithm"], secret["name"]) == ("symmetric", "AES", "o")
    assert len(await payload(http, shown["secret_ref"])) == 32
    assert (await http.get("orders?meta=aes")).json()["orders"] == [shown]
    assert (await stranger.get(shown["order_ref"])).status_code == 404
    assert (await stranger.delete(shown["order_ref"])).status_code == 404
    assert (await http.put("orders", json={})).status_code == 405
    assert (await http.delete(shown["order_ref"])).status_code == 204
    assert (await http.get(shown["secret_ref"])).status_code == 200


@pytest.mark.parametrize(("algorithm", "bits"), [("rsa", 1024), ("ec", 256), ("dsa", 1024)])
async def test_a_pair_is_ordered(http, algorithm, bits):
    passphrase = {} if algorithm == "dsa" else {"passphrase": "hunter2"}
    shown = await order(http, "asymmetric", algorithm=algorithm, bit_length=bits, **passphrase)
    assert "passphrase" not in shown["meta"]
    container = (await http.get(shown["container_ref"])).json()
    assert container["type"] == ("rsa" if algorithm == "rsa" else "generic")
    refs = {one["name"]: one["secret_ref"] for one in container["secret_refs"]}
    public = await payload(http, refs["public_key"])
    if algorithm == "dsa":
        assert load_der_public_key(public).key_size == bits
        return
    assert await payload(http, refs["private_key_passphrase"]) == b"hunter2"
    private = load_pem_private_key(await payload(http, refs["private_key"]), b"hunter2")
    assert private.public_key() == load_pem_public_key(public)


async def test_what_is_not_made_is_said(http):
    shown = await order(http, "key", algorithm="rot", bit_length=128)
    assert (shown["status"], shown["error_status_code"], "rot" in shown["error_reason"]) == ("ERROR", "400", True)
    for wrong in (
        {"type": "certificate", "meta": {"algorithm": "rsa", "bit_length": 2048}},
        {"type": "key", "meta": {"algorithm": "aes", "bit_length": 129}},
        {"type": "key", "meta": {"algorithm": "aes"}},
        {"type": "key", "meta": {"algorithm": "aes", "bit_length": 128, "payload": "x"}},
        {"type": "key", "meta": {"algorithm": "aes", "bit_length": 128, "passphrase": "x"}},
        {"type": "asymmetric", "meta": {"algorithm": "ec", "bit_length": 512}},
        {"type": "key"},
    ):
        assert (await http.post("orders", json=wrong)).status_code == 400, wrong


async def test_quotas_hold(http, admin, stranger):
    none = dict.fromkeys(("secrets", "orders", "containers", "consumers", "cas"), -1)
    assert (await http.get("quotas")).json() == {"quotas": none}
    assert (await http.get("project-quotas/p1")).status_code == 403
    assert (await admin.get("project-quotas/p1")).status_code == 404
    assert (
        await admin.put("project-quotas/p1", json={"project_quotas": {"secrets": 2, "orders": -7}})
    ).status_code == 204
    assert (await admin.put("project-quotas/p1", json={"project_quotas": {"rows": 2}})).status_code == 400
    expected = {**dict.fromkeys(none), "secrets": 2, "orders": -1}
    assert (await admin.get("project-quotas/p1")).json() == {"project_quotas": expected}
    assert (await http.get("quotas")).json()["quotas"] == {**none, "secrets": 2}
    listed = (await admin.get("project-quotas")).json()
    assert listed == {"project_quotas": [{"project_id": "p1", "project_quotas": expected}], "total": 1}
    await make(http)
    await make(http)
    refused = await http.post("secrets", json={"name": "third"})
    assert (refused.status_code, "secrets" in refused.json()["description"]) == (403, True)
    shown = await order(http, "key", algorithm="aes", bit_length=128)
    assert (shown["status"], shown["error_status_code"]) == ("ERROR", "403")
    await make(stranger)
    assert (await admin.delete("project-quotas/p1")).status_code == 204
    assert (await admin.delete("project-quotas/p1")).status_code == 404
    await make(http)


async def test_stores_and_transport_keys(http, admin):
    (store,) = (await http.get("secret-stores")).json()["secret_stores"]
    assert (store["crypto_plugin"], store["global_default"], store["status"]) == ("simple_crypto", True, "ACTIVE")
    assert (await http.get("secret-stores/global-default")).json() == store
    assert (await http.get(store["secret_store_ref"])).json() == store
    assert (await http.get("secret-stores/preferred")).status_code == 404
    assert (await http.post(f"{store['secret_store_ref']}/preferred")).status_code == 403
    for _ in range(2):
        assert (await admin.post(f"{store['secret_store_ref']}/preferred")).status_code == 204
    assert (await http.get("secret-stores/preferred")).json() == store
    assert (await admin.delete(f"{store['secret_store_ref']}/preferred")).status_code == 204
    assert (await admin.delete(f"{store['secret_store_ref']}/preferred")).status_code == 404
    body = {"plugin_name": "hsm", "transport_key": "-----BEGIN"}
    assert (await http.post("transport_keys", json=body)).status_code == 403
    ref = (await admin.post("transport_keys", json=body)).json()["transport_key_ref"]
    assert (await http.get("transport_keys?plugin_name=hsm")).json() == {"transport_keys": [ref], "total": 1}
    shown = (await http.get(ref)).json()
    assert (shown["plugin_name"], shown["transport_key"]) == ("hsm", "-----BEGIN")
    assert (await admin.delete(ref)).status_code == 204
    assert (await http.get("transport_keys")).json()["total"] == 0


async def test_an_order_survives_the_death_of_its_maker(tmp_path):
    """Killed at each of its events, an order is filled once; undone, it says so and leaves no secret."""
    numbers = itertools.count()

    def cloud():
        state = tmp_path / str(next(numbers))
        state.mkdir()
        return running(state, [TOKENS, SERVICE])

    async def act(runtime):
        async with speaking(runtime, "p1/u1/member") as http:
            body = {"type": "key", "meta": {"algorithm": "aes", "bit_length": 128}}
            assert (await http.post("orders", json=body)).status_code == 202

    async def check(runtime, case):
        def ended(tx):
            return tx.scalars(select(Order)).one().status, len(tx.scalars(select(Secret)).all())

        status, secrets = await runtime.db.read(ended)
        # What fails after the keys were sealed has ended the order already: it stays as it was ended.
        assert (status, secrets) in ({("ACTIVE", 1), ("ERROR", 0)} if case.undone else {("ACTIVE", 1)}), case

    await walk(cloud, act, check, ["key_manager.order"])


async def test_no_plain_content_is_in_the_database_or_the_journal(http, cloud):
    await make(http, payload="a-very-plain-text")
    await order(http, "asymmetric", algorithm="ec", bit_length=256, passphrase="a-very-plain-text")

    def everything(tx):
        kept = [str(vars(row)) for kind in (OperationRow, StepRow, Secret, Order) for row in tx.scalars(select(kind))]
        return "\n".join(kept)

    text = await cloud.db.read(everything)
    assert "key_manager.order" in text
    files = b"".join(path.read_bytes() for path in cloud.config.state.glob("pileus.db*"))
    assert b"a-very-plain-text" not in files
    assert "a-very-plain-text" not in text
    assert "PRIVATE KEY" not in text
