"""What can be done to a server, from which states, and what is refused with which words."""

import pytest

from tests.api.compute.cloud import Cloud


async def test_power_verbs_lead_where_they_say(cloud: Cloud) -> None:
    id = await cloud.boot()
    for action, status, power in (
        ({"os_stop": None}, "SHUTOFF", 4),
        ({"os_start": None}, "ACTIVE", 1),
        ({"reboot": {"type": "SOFT"}}, "ACTIVE", 1),
        ({"pause": None}, "PAUSED", 3),
        ({"unpause": None}, "ACTIVE", 1),
        ({"suspend": None}, "SUSPENDED", 7),
        ({"resume": None}, "ACTIVE", 1),
        ({"os_stop": None}, "SHUTOFF", 4),
        ({"reboot": {"type": "hard"}}, "ACTIVE", 1),
    ):
        server = await cloud.act(id, **action)
        assert (server["status"], server["OS-EXT-STS:power_state"]) == (status, power), action


@pytest.mark.parametrize(
    "action",
    [{"os-start": None}, {"unpause": None}, {"resume": None}, {"confirmResize": None}, {"revertResize": None}],
)
async def test_a_verb_is_refused_in_the_wrong_state(cloud: Cloud, action: dict) -> None:
    id = await cloud.boot()
    await cloud.refused("POST", f"/servers/{id}/action", 409, action)
    assert (await cloud.show(id))["status"] == "ACTIVE"


@pytest.mark.parametrize(
    ("action", "status"),
    [
        ({"fly": None}, 400),
        ({"os-stop": None, "os-start": None}, 400),
        ({"reboot": {"type": "GENTLE"}}, 400),
        ({"reboot": {}}, 400),
        ({"resize": {"flavorRef": "no-such"}}, 400),
        ({"resize": {"flavorRef": "42"}}, 400),
        ({"rebuild": {"imageRef": "00000000-0000-4000-8000-000000000000"}}, 400),
        ({"rebuild": {}}, 400),
        ({"createImage": {}}, 400),
        ({"changePassword": {"adminPass": "x"}}, 501),
        ({"rescue": None}, 501),
        ({"shelve": None}, 501),
        ({"os-resetState": {"state": "error"}}, 403),
        ({"migrate": None}, 403),
    ],
)
async def test_what_cannot_be_done_is_refused_and_changes_nothing(cloud: Cloud, action: dict, status: int) -> None:
    id = await cloud.boot()
    before = await cloud.show(id)
    await cloud.refused("POST", f"/servers/{id}/action", status, action)
    assert await cloud.show(id) == before


async def test_a_locked_server_waits_for_its_owner(cloud: Cloud) -> None:
    id = await cloud.boot()
    await cloud.act(id, lock=None)
    assert "is locked" in await cloud.refused("POST", f"/servers/{id}/action", 409, {"os-stop": None})
    await cloud.refused("DELETE", f"/servers/{id}", 409)
    await cloud.act(id, unlock=None)
    assert (await cloud.act(id, os_stop=None))["status"] == "SHUTOFF"


async def test_a_resize_is_confirmed_or_taken_back(cloud: Cloud) -> None:
    id = await cloud.boot()

    async def used() -> tuple[int, int]:
        numbers = (await cloud.ask("GET", "/os-hypervisors/statistics", 200, who=cloud.admin))["hypervisor_statistics"]
        return numbers["memory_mb_used"], numbers["vcpus_used"]

    assert await used() == (128, 1)
    assert (await cloud.act(id, resize={"flavorRef": "1"}))["status"] == "VERIFY_RESIZE"
    assert await used() == (128 + 512, 2), "the room for going back is held"
    server = await cloud.act(id, revertResize=None)
    assert (server["status"], server["flavor"]["id"], await used()) == ("ACTIVE", "42", (128, 1))
    await cloud.act(id, resize={"flavorRef": "1"})
    server = await cloud.act(id, 204, confirmResize=None)
    assert (server["status"], server["flavor"]["id"], await used()) == ("ACTIVE", "1", (512, 1))
    migrations = (await cloud.ask("GET", "/os-migrations", 200, who=cloud.admin))["migrations"]
    assert [migration["status"] for migration in migrations] == ["confirmed", "reverted"]


async def test_a_stopped_server_stays_stopped_when_it_is_rebuilt(cloud: Cloud) -> None:
    id = await cloud.boot()
    await cloud.act(id, os_stop=None)
    server = await cloud.act(id, rebuild={"imageRef": cloud.image_id, "name": "anew", "metadata": {"x": "y"}})
    assert (server["status"], server["name"], server["metadata"]) == ("SHUTOFF", "anew", {"x": "y"})


async def test_an_image_of_a_server_can_be_booted(cloud: Cloud) -> None:
    id = await cloud.boot()
    body = {"createImage": {"name": "copy", "metadata": {"from": "web"}}}
    image_id = (await cloud.ask("POST", f"/servers/{id}/action", 202, body, version="2.45"))["image_id"]
    image = await cloud.until(f"/image/v2/images/{image_id}", lambda answer: answer["status"] == "active")
    assert (image["name"], image["from"], image["instance_uuid"]) == ("copy", "web", id)
    await cloud.rest(id)
    await cloud.boot("second", imageRef=image_id)


async def test_actions_are_remembered_with_who_asked(cloud: Cloud) -> None:
    id = await cloud.boot()
    await cloud.act(id, os_stop=None)
    actions = (await cloud.ask("GET", f"/servers/{id}/os-instance-actions", 200))["instanceActions"]
    assert [action["action"] for action in actions] == ["stop", "create"]
    request_id = actions[0]["request_id"]
    path = f"/servers/{id}/os-instance-actions/{request_id}"
    shown = (await cloud.ask("GET", path, 200, version="2.51"))["instanceAction"]
    assert [(event["event"], event["result"]) for event in shown["events"]] == [("compute_stop", "Success")]
    await cloud.refused("GET", f"/servers/{id}/os-instance-actions/req-unknown", 404)
    await cloud.ask("DELETE", f"/servers/{id}", 204)
    await cloud.gone(id)
    after = await cloud.ask("GET", f"/servers/{id}/os-instance-actions", 200, version="2.21")
    assert after["instanceActions"][0]["action"] == "delete"


async def test_the_console_log_and_the_screen_are_for_those_who_have_the_server(cloud: Cloud) -> None:
    id = await cloud.boot()
    path = f"/servers/{id}/action"
    log = (await cloud.ask("POST", path, 200, {"os-getConsoleOutput": {"length": 2}}))["output"]
    assert len(log.split("\n")) == 2
    await cloud.refused("POST", path, 404, {"os-getConsoleOutput": {}}, who=cloud.alt)
    console = {"remote_console": {"protocol": "vnc", "type": "novnc"}}
    made = (await cloud.ask("POST", f"/servers/{id}/remote-consoles", 200, console, version="2.6"))["remote_console"]
    token = made["url"].partition("token=")[2].partition("&")[0]
    known = await cloud.ask("GET", f"/os-console-auth-tokens/{token}", 200, who=cloud.admin, version="2.31")
    assert known["console"]["instance_uuid"] == id
    await cloud.refused("GET", "/os-console-auth-tokens/guess", 401, who=cloud.admin, version="2.31")
    assert (await cloud.demo.get("/compute/console?token=guess")).status_code == 401
    wrong = {"remote_console": {"protocol": "spice", "type": "spice-html5"}}
    await cloud.refused("POST", f"/servers/{id}/remote-consoles", 400, wrong, version="2.6")
