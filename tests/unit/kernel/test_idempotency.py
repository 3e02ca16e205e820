"""What a client may rely on that sends the same POST twice, and one that only asks what a write would do."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from pileus.kernel import clock, events
from pileus.kernel.operations.model import OperationRow
from pileus.kernel.requests import RequestRow
from pileus.kernel.rest import idempotency
from pileus.kernel.rest.idempotency import IdempotencyKey
from pileus.kernel.service import find_services
from pileus.kernel.testing import client, running
from pileus.services.identity.testing import login

KEY = {"Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}
FLAVOR = "/compute/v2.1/flavors"
VOLUME = "/volume/v3/volumes"


@pytest.fixture
async def cloud(tmp_path):
    async with running(tmp_path) as runtime:
        yield runtime


@pytest.fixture
async def demo(cloud):
    async with client(cloud, await login(cloud)) as http:
        yield http


async def volumes(http):
    return (await http.get(VOLUME)).json()["volumes"]


async def test_the_same_key_gives_the_same_answer_and_one_resource(demo):
    body = {"volume": {"size": 1, "name": "once"}}
    first = await demo.post(VOLUME, json=body, headers=KEY)
    again = await demo.post(VOLUME, json=body, headers=KEY)
    assert first.status_code == again.status_code == 202
    assert first.content == again.content
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["x-openstack-original-request-id"] == first.headers["x-openstack-request-id"]
    assert "idempotent-replayed" not in first.headers
    assert len(await volumes(demo)) == 1


async def test_headers_that_matter_come_again(demo):
    image = {"name": "i", "disk_format": "raw", "container_format": "bare"}
    first = await demo.post("/image/v2/images", json=image, headers=KEY)
    again = await demo.post("/image/v2/images", json=image, headers=KEY)
    assert first.headers["location"] == again.headers["location"]
    assert first.headers["content-type"] == again.headers["content-type"]


async def test_concurrent_duplicates_give_one_resource(demo):
    body = {"volume": {"size": 1}}
    answers = await asyncio.gather(*(demo.post(VOLUME, json=body, headers=KEY) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["volume"]["id"] for answer in answers}) == 1
    assert len(await volumes(demo)) == 1


async def test_another_body_under_the_same_key_is_refused(demo):
    first = await demo.post(VOLUME, json={"volume": {"size": 1}}, headers=KEY)
    other = await demo.post(VOLUME, json={"volume": {"size": 2}}, headers=KEY)
    assert other.status_code == 422
    assert first.headers["x-openstack-request-id"] in other.text
    elsewhere = await demo.post("/networking/v2.0/networks", json={"network": {}}, headers=KEY)
    assert elsewhere.status_code == 422
    assert len(await volumes(demo)) == 1


async def test_a_refusal_is_not_kept(demo):
    """A request that changed nothing may succeed when it is sent again under its key."""
    refused = await demo.post(VOLUME, json={"volume": {"size": 10**6}}, headers=KEY)
    assert refused.status_code in (403, 413)
    network = await demo.post("/networking/v2.0/networks", json={"network": {"name": "n"}}, headers=KEY)
    assert network.status_code == 201


async def test_keys_belong_to_one_user_and_project(cloud, demo):
    body = {"volume": {"size": 1}}
    await demo.post(VOLUME, json=body, headers=KEY)
    async with client(cloud, await login(cloud, "alt_demo")) as other:
        answer = await other.post(VOLUME, json=body, headers=KEY)
        assert "idempotent-replayed" not in answer.headers
        assert len(await volumes(other)) == 1


@pytest.mark.parametrize("key", ["", '""', "x" * 256, "t\u00e4g"])
async def test_what_cannot_be_a_key_is_refused(demo, key):
    answer = await demo.post(VOLUME, json={"volume": {"size": 1}}, headers={"Idempotency-Key": key.encode("utf-8")})
    assert answer.status_code == 400
    assert "Idempotency-Key" in answer.text


async def test_a_quoted_key_is_the_same_key(demo):
    body = {"volume": {"size": 1}}
    first = await demo.post(VOLUME, json=body, headers={"Idempotency-Key": '"abc"'})
    again = await demo.post(VOLUME, json=body, headers={"Idempotency-Key": "abc"})
    assert first.content == again.content


async def test_a_key_is_forgotten_after_a_day(cloud, demo, monkeypatch):
    body = {"volume": {"size": 1}}
    await demo.post(VOLUME, json=body, headers=KEY)
    assert await cloud.db.write(idempotency.forget, 10) == 0
    tomorrow = clock.now() + timedelta(hours=24, seconds=1)
    monkeypatch.setattr(idempotency.clock, "now", lambda: tomorrow)
    assert await cloud.db.write(idempotency.forget, 10) == 1
    monkeypatch.undo()
    assert "idempotent-replayed" not in (await demo.post(VOLUME, json=body, headers=KEY)).headers
    assert len(await volumes(demo)) == 2


async def test_secrets_in_answers_are_not_readable_in_the_database(cloud, demo):
    made = await demo.post("/compute/v2.1/os-keypairs", json={"keypair": {"name": "k"}}, headers=KEY)
    private = made.json()["keypair"]["private_key"]
    again = await demo.post("/compute/v2.1/os-keypairs", json={"keypair": {"name": "k"}}, headers=KEY)
    assert again.json()["keypair"]["private_key"] == private
    kept = await cloud.db.read(lambda tx: tx.scalars(select(IdempotencyKey)).one().answer)
    assert private[40:80].encode() not in kept
    assert KEY["Idempotency-Key"].encode() not in kept


async def test_users_are_made_once_too(cloud):
    """Its handler is asynchronous: the password is hashed off the event loop."""
    async with client(cloud, await login(cloud, "admin")) as admin:
        body = {"user": {"name": "once", "password": "long enough 1"}}
        first = await admin.post("/identity/v3/users", json=body, headers=KEY)
        again = await admin.post("/identity/v3/users", json=body, headers=KEY)
        assert first.status_code == again.status_code == 201
        assert first.content == again.content


async def test_streams_refuse_a_key_and_a_dry_run(cloud, demo):
    project = (await demo.get("/identity/v3/auth/projects")).json()["projects"][0]["id"]
    container = f"/object-store/v1/AUTH_{project}/c"
    assert (await demo.put(container)).status_code == 201
    answer = await demo.put(f"{container}/o?dry_run=true", content=b"data")
    assert answer.status_code == 400
    assert "streams" in answer.text
    assert (await demo.get(f"{container}/o")).status_code == 404
    keyed = await demo.post(f"/object-store/v1/AUTH_{project}", headers={**KEY, "X-Account-Meta-A": "b"})
    assert keyed.status_code == 400
    assert "Idempotency-Key" in keyed.text


async def left_by(cloud, answer):
    """What the database holds of a request: its events, its operations, itself."""
    id = answer.headers["x-openstack-request-id"]
    columns = (events.Event.request_id, OperationRow.request_id, RequestRow.id)
    return [
        await cloud.db.read(lambda tx, column=column: tx.scalar(select(func.count()).where(column == id)))
        for column in columns
    ]


async def test_a_dry_run_tells_what_would_be_done_and_changes_nothing(cloud, demo):
    answer = await demo.post(f"{VOLUME}?dry_run=true", json={"volume": {"size": 3}})
    assert answer.status_code == 200
    told = answer.json()["dry_run"]
    assert told["status"] == 202
    assert told["refused"] is None
    assert told["answer"]["volume"]["size"] == 3
    claimed = {claim["name"]: (claim["wanted"], claim["used"]) for claim in told["claims"]}
    assert claimed["volumes"] == (1, 0)
    assert claimed["gigabytes"] == (3, 0)
    assert [operation["kind"] for operation in told["operations"]] == ["volume.create"]
    assert told["operations"][0]["resource"].endswith(told["answer"]["volume"]["id"])
    assert {(change["action"], change["table"]) for change in told["changes"]} == {("create", "block_storage_volumes")}
    assert told["events"][0]["kind"] == "block_storage.volume.created"
    assert await left_by(cloud, answer) == [0, 0, 0]
    assert await volumes(demo) == []
    really = await demo.post(VOLUME, json={"volume": {"size": 3}})
    assert all(await left_by(cloud, really))


async def test_a_dry_run_tells_the_refusal(demo):
    answer = await demo.post(f"{VOLUME}?dry_run=1", json={"volume": {"size": 10**6}})
    told = answer.json()["dry_run"]
    assert answer.status_code == 200
    assert told["status"] in (403, 413)
    assert "uota" in told["refused"]["message"]
    assert told["claims"]


async def test_a_dry_run_of_what_one_may_not_do_says_so(demo):
    told = (await demo.post("/identity/v3/users?dry_run=true", json={"user": {"name": "u"}})).json()["dry_run"]
    assert told["status"] == told["refused"]["status"] == 403
    told = (await demo.post(f"{FLAVOR}?dry_run=true", json={"flavor": {}})).json()["dry_run"]
    assert told["status"] in (400, 403)


async def test_a_dry_run_needs_a_token_and_a_boolean(cloud, demo):
    async with client(cloud) as nobody:
        assert (await nobody.post(f"{VOLUME}?dry_run=true", json={"volume": {"size": 1}})).status_code == 401
    assert (await demo.post(f"{VOLUME}?dry_run=maybe", json={"volume": {"size": 1}})).status_code == 400
    assert (await demo.post(f"{VOLUME}?dry_run=false", json={"volume": {"size": 1}})).status_code == 202


async def test_updates_and_deletes_can_be_tried(demo):
    network = (await demo.post("/networking/v2.0/networks", json={"network": {"name": "n"}})).json()["network"]["id"]
    path = f"/networking/v2.0/networks/{network}"
    told = (await demo.put(f"{path}?dry_run=true", json={"network": {"name": "m"}})).json()["dry_run"]
    update = next(change for change in told["changes"] if change["table"] == "network_networks")
    assert update["action"] == "update"
    assert "name" in update["fields"]
    assert update["ids"] == [network]
    told = (await demo.post("/networking/v2.0/networks?dry_run=true", json={"network": {}})).json()["dry_run"]
    created = next(change for change in told["changes"] if change["table"] == "network_networks")
    assert created["ids"] == [told["answer"]["network"]["id"]]
    told = (await demo.delete(f"{path}?dry_run=true")).json()["dry_run"]
    assert told["status"] == 204
    assert any(change["action"] == "delete" for change in told["changes"])
    assert (await demo.get(path)).json()["network"]["name"] == "n"


async def test_a_dry_run_touches_no_bytes(demo):
    image = (await demo.post("/image/v2/images", json={"disk_format": "raw", "container_format": "bare"})).json()["id"]
    octets = {"content-type": "application/octet-stream"}
    path = f"/image/v2/images/{image}"
    assert (await demo.put(f"{path}/file", content=b"bytes" * 1000, headers=octets)).status_code == 204
    assert (await demo.delete(f"{path}?dry_run=true")).json()["dry_run"]["status"] == 204
    assert (await demo.get(f"{path}/file")).content == b"bytes" * 1000


async def test_a_dry_run_makes_no_user_and_shows_no_hash(cloud):
    async with client(cloud, await login(cloud, "admin")) as admin:
        body = {"user": {"name": "dry", "password": "long enough 1"}}
        answer = await admin.post("/identity/v3/users?dry_run=true", json=body)
        assert answer.json()["dry_run"]["status"] == 201
        assert "$2" not in answer.text
        assert (await admin.get("/identity/v3/users?name=dry")).json()["users"] == []


async def test_servers_of_databases_keep_duplicates_apart_too(tmp_path, server_url):
    """There transactions truly run side by side: all but one of them collide, and give its answer."""
    async with running(tmp_path, find_services(["identity"]), database=server_url) as cloud:
        token = await login(cloud, "admin")
        async with client(cloud, token) as admin:
            body = {"project": {"name": "once"}}
            answers = await asyncio.gather(
                *(admin.post("/identity/v3/projects", json=body, headers=KEY) for _ in range(6))
            )
            assert {answer.status_code for answer in answers} == {201}
            assert len({answer.content for answer in answers}) == 1
            told = (await admin.post("/identity/v3/projects?dry_run=true", json={"project": {"name": "dry"}})).json()
            assert told["dry_run"]["status"] == 201
            found = (await admin.get("/identity/v3/projects")).json()["projects"]
            assert [project["name"] for project in found if project["name"] in ("once", "dry")] == ["once"]
