"""What a user learns of a request afterwards, and who may ask."""

import asyncio

import pytest

from pileus.kernel import requests
from pileus.kernel.testing import client, running
from pileus.services.identity.testing import login

VOLUME = "/volume/v3/volumes"


@pytest.fixture
async def cloud(tmp_path):
    async with running(tmp_path) as runtime:
        yield runtime


async def explained(http, id):
    answer = await http.get(f"/v1/requests/{id}")
    assert answer.status_code == 200, answer.text
    return answer.json()["request"]


async def settled(http, id):
    """Return the trace once everything the request began has ended."""
    async with asyncio.timeout(20):
        while True:
            found = await explained(http, id)
            if found["state"] != "running":
                return found
            await asyncio.sleep(0.02)


async def test_a_request_is_told_with_its_operation_steps_commands_and_events(cloud):
    async with client(cloud, await login(cloud)) as demo, client(cloud, await login(cloud, "admin")) as admin:
        made = await demo.post(VOLUME, json={"volume": {"size": 1}})
        id, volume = made.headers["x-openstack-request-id"], made.json()["volume"]["id"]
        told = await settled(demo, id)
        assert (told["method"], told["status"], told["state"]) == ("POST", 202, "succeeded")
        assert told["path"].startswith("/volume/v3")
        (operation,) = told["operations"]
        assert operation["kind"] == "volume.create"
        assert operation["resource"] == f"volume/{volume}"
        assert operation["seconds"] > 0
        on_host = [step for step in operation["steps"] if step["command"]]
        assert on_host
        assert all(step["state"] == "done" and step["seconds"] is not None for step in operation["steps"])
        kinds = [event["kind"] for event in told["events"]]
        assert kinds[0] == "block_storage.volume.created"
        assert "block_storage.volume.updated" in kinds  # told by a step, on behalf of the request
        assert all(step["host"] is None for step in on_host)  # the cloud's machines are no user's business
        seen_by_admin = (await explained(admin, id))["operations"][0]["steps"]
        assert {step["host"] for step in seen_by_admin if step["command"]} == {"fake-1"}


async def test_a_refusal_is_told_with_its_sentence(cloud):
    async with client(cloud, await login(cloud)) as demo:
        refused = await demo.get(f"{VOLUME}/nothing")
        told = await explained(demo, refused.headers["x-openstack-request-id"])
        assert (told["status"], told["state"]) == (404, "refused")
        assert "nothing" in told["refusal"]
        assert told["operations"] == told["events"] == []


async def test_requests_of_other_projects_are_not_there(cloud):
    async with client(cloud, await login(cloud)) as demo, client(cloud, await login(cloud, "alt_demo")) as other:
        made = (await demo.post(VOLUME, json={"volume": {"size": 1}})).headers["x-openstack-request-id"]
        read = (await demo.get(VOLUME)).headers["x-openstack-request-id"]
        for id in (made, read, "req-unknown"):
            assert (await other.get(f"/v1/requests/{id}")).status_code == 404
        async with client(cloud) as nobody:
            assert (await nobody.get(f"/v1/requests/{made}")).status_code == 401


async def test_a_repeated_request_names_the_one_it_repeats(cloud):
    async with client(cloud, await login(cloud)) as demo:
        key = {"Idempotency-Key": "0b7d9be2-22a3-4f6b-9ab6-3c2a6d3e7f6a"}
        first, again = [await demo.post(VOLUME, json={"volume": {"size": 1}}, headers=key) for _ in range(2)]
        told = await explained(demo, again.headers["x-openstack-request-id"])
        assert told["replays"] == first.headers["x-openstack-request-id"]


async def test_writes_are_remembered_over_a_restart(tmp_path):
    async with running(tmp_path) as cloud, client(cloud, await login(cloud)) as demo:
        made = await demo.post("/networking/v2.0/networks", json={"network": {"name": "n"}})
    async with running(tmp_path) as cloud, client(cloud, await login(cloud)) as demo:
        told = await explained(demo, made.headers["x-openstack-request-id"])
        assert (told["method"], told["path"], told["status"]) == ("POST", "/networking/v2.0/networks", 201)
        assert told["events"]


async def test_memory_of_requests_is_bounded(cloud):
    recent = requests.Recent(size=3)
    ctx = cloud.internal()
    for number in range(10):
        ctx.request_id = f"req-{number}"
        recent.add(ctx, "GET", "/", 200, 0.1)
    assert recent.find("req-6") is None
    assert recent.find("req-7") is not None


async def test_the_openapi_document_names_all_three(cloud):
    async with client(cloud) as http:
        document = (await http.get("/openapi.json")).json()
    assert "get" in document["paths"]["/v1/requests/{request_id}"]
    create = document["paths"]["/volume/v3/volumes"]["post"]["parameters"]
    names = [parameter.get("$ref", "").rpartition("/")[2] for parameter in create]
    assert {"DryRun", "IdempotencyKey"} <= set(names)
    upload = document["paths"]["/image/v2/images/{image}/file"]["put"]["parameters"]
    assert not any("$ref" in parameter for parameter in upload)
    assert {"DryRun", "IdempotencyKey"} <= set(document["components"]["parameters"])
