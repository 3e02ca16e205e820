"""Secrets for other ways in: shown to their owner, readable nowhere else."""

import json

import pytest

from pileus.services.identity.app.secrets import CredentialKeys

BLOB = json.dumps({"access": "key", "secret": "hidden"})


@pytest.fixture
async def me(demo):
    token = demo.headers["X-Auth-Token"]
    shown = (await demo.get("auth/tokens", headers={"X-Subject-Token": token})).json()["token"]
    return shown["user"]["id"], shown["project"]["id"]


async def make(http, **more):
    return await http.post("credentials", json={"credential": {"type": "totp", "blob": "hidden", **more}})


async def test_the_life_of_a_credential(cloud, demo, me):
    made = (await make(demo)).json()["credential"]
    assert (made["user_id"], made["blob"], made["type"]) == (me[0], "hidden", "totp")
    path = f"credentials/{made['id']}"
    assert (await demo.get(path)).json()["credential"] == made
    assert (await demo.get("credentials?type=totp")).json()["credentials"] == [made]
    assert (await demo.get("credentials?type=ec2")).json()["credentials"] == []
    changed = await demo.patch(path, json={"credential": {"blob": "new"}})
    assert changed.json()["credential"]["blob"] == "new"
    changed = await demo.patch(path, json={"credential": {"type": "cert", "project_id": me[1]}})
    assert (changed.json()["credential"]["type"], changed.json()["credential"]["project_id"]) == ("cert", me[1])
    cloud.part(CredentialKeys).rotate()
    assert (await demo.get(path)).json()["credential"]["blob"] == "new"
    assert (await demo.delete(path)).status_code == 204
    assert (await demo.get(path)).status_code == 403


async def test_the_database_does_not_hold_the_secret(cloud, demo):
    await make(demo, blob="very-hidden-indeed")
    state = cloud.config.state
    assert not any(b"very-hidden-indeed" in path.read_bytes() for path in state.glob("pileus.db*"))
    keys = state / "identity" / "credential-keys"
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in keys.iterdir())


async def test_others_do_not_see_it(cloud, admin, demo, me):
    mine = (await make(admin)).json()["credential"]
    assert (await demo.get(f"credentials/{mine['id']}")).status_code == 403
    assert (await demo.get("credentials")).json()["credentials"] == []
    assert (await make(demo, user_id=mine["user_id"])).status_code == 403
    assert (await make(admin, user_id=me[0])).status_code == 201


async def test_nobody_learns_of_projects_by_a_credential_for_them(admin, demo, me):
    """A project in which one has no role sounds like one that is not there, and no key is made for it."""
    others = (await admin.get("projects?name=admin")).json()["projects"][0]["id"]
    mine = (await make(demo, project_id=me[1])).json()["credential"]
    told = []
    for project in (others, "0" * 32):
        answers = [
            await make(demo, project_id=project),
            await demo.post(f"users/{me[0]}/credentials/OS-EC2", json={"tenant_id": project}),
            await demo.patch(f"credentials/{mine['id']}", json={"credential": {"project_id": project}}),
        ]
        told.append([(answer.status_code, answer.text.replace(project, "ID")) for answer in answers])
    assert told[0] == told[1]
    assert {status for status, _ in told[0]} == {400}
    assert (await make(admin, user_id=me[0], project_id=others)).status_code == 201  # as an operator may


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": ""},
        {"type": 5},
        {"blob": None},
        {"blob": {}},
        {"project_id": "none"},
        {"type": "ec2", "blob": BLOB},
        {"type": "ec2", "blob": "not json"},
        {"type": "ec2", "blob": "{}"},
    ],
)
async def test_malformed_ones_are_400(demo, wrong):
    assert (await make(demo, **wrong)).status_code == 400
    assert (await demo.get("credentials")).json()["credentials"] == []


async def test_ec2_keys(demo, me):
    user, project = me
    base = f"users/{user}/credentials/OS-EC2"
    made = await demo.post(base, json={"tenant_id": project})
    assert made.status_code == 201
    key = made.json()["credential"]
    assert key["tenant_id"] == project
    assert (await demo.get(f"{base}/{key['access']}")).json()["credential"] == key
    assert (await demo.get(base)).json()["credentials"] == [key]
    assert (await demo.get("credentials?type=ec2")).json()["credentials"][0]["project_id"] == project
    assert (await demo.post(base, json={"tenant_id": "none"})).status_code == 400
    blob = json.dumps({"access": key["access"], "secret": "x"})
    taken = await make(demo, type="ec2", blob=blob, project_id=project)
    assert taken.status_code == 409
    assert (await demo.delete(f"{base}/{key['access']}")).status_code == 204
    assert (await demo.get(f"{base}/{key['access']}")).status_code == 404


async def test_an_administrator_gives_a_credential_to_somebody_else_and_nobody_else_does(admin, demo, me):
    made = (await make(demo)).json()["credential"]
    path = f"credentials/{made['id']}"
    other = (await admin.post("users", json={"user": {"name": "x"}})).json()["user"]["id"]
    assert (await demo.patch(path, json={"credential": {"user_id": other}})).status_code == 403
    assert (await admin.patch(path, json={"credential": {"user_id": "nobody"}})).status_code == 400
    assert (await admin.patch(path, json={"credential": {"project_id": "none"}})).status_code == 400
    assert (await admin.patch(path, json={"credential": {"type": "ec2", "project_id": me[1]}})).status_code == 400
    assert (await demo.get(path)).json()["credential"] == made
    given = {"user_id": other, "type": "ec2", "project_id": me[1], "blob": BLOB}
    changed = (await admin.patch(path, json={"credential": given})).json()["credential"]
    assert {name: changed[name] for name in given} == given
    assert (await demo.get(path)).status_code == 403


async def test_what_a_delegation_made_is_not_turned_into_more(admin, demo, me):
    blob = json.dumps({"access": "key", "secret": "hidden", "trust_id": "t1"})
    made = await make(demo, type="ec2", blob=blob, project_id=me[1])
    path = f"credentials/{made.json()['credential']['id']}"
    for change in (
        {"blob": BLOB},
        {"type": "cert"},
        {"type": "cert", "blob": BLOB},
        {"project_id": None},
        {"blob": blob.replace("t1", "t2")},
    ):
        assert (await admin.patch(path, json={"credential": change})).status_code == 400, change
    plain = (await make(demo, blob=blob)).json()["credential"]["id"]
    becomes = {"credential": {"type": "ec2", "project_id": me[1]}}
    assert (await demo.patch(f"credentials/{plain}", json=becomes)).status_code == 400
    assert (await demo.get(path)).json()["credential"]["blob"] == blob


async def test_they_go_with_their_user(admin):
    user = (await admin.post("users", json={"user": {"name": "x"}})).json()["user"]["id"]
    made = (await make(admin, user_id=user)).json()["credential"]
    await admin.delete(f"users/{user}")
    assert (await admin.get(f"credentials/{made['id']}")).status_code == 404
