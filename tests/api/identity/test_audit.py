"""The audit: who did what to whom, as CADF records; complete, and without secrets."""

import asyncio
import json
import logging
from datetime import timedelta

import pytest
from sqlalchemy import select

from pileus.kernel import events
from pileus.kernel.events import Event
from pileus.kernel.testing import client, running
from pileus.services.identity.app.attempts import Attempts
from pileus.services.identity.model.audit import AUTHENTICATE, CONSUMER
from pileus.services.identity.service import SERVICE
from pileus.services.identity.testing import auth_body, login, password_of


async def records(cloud):
    """Everything the audit holds now."""
    await cloud.part(Attempts).write()
    await events.consume_once(cloud)
    path = cloud.config.state / "logs" / "audit.log"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


async def newest(cloud, action):
    return [one["payload"] for one in await records(cloud) if one["payload"]["action"] == action][-1]


async def test_a_change_is_told_in_keystone_s_shape(cloud, admin):
    made = await admin.post("users", json={"user": {"name": "ada", "password": "a secret"}})
    user = made.json()["user"]["id"]
    (record,) = [one for one in await records(cloud) if one["event_type"] == "identity.user.created"]
    assert record["publisher_id"].startswith("identity.")
    assert record["priority"] == "INFO"
    payload = record["payload"]
    assert payload["typeURI"] == "http://schemas.dmtf.org/cloud/audit/1.0/event"
    assert (payload["eventType"], payload["action"], payload["outcome"]) == ("activity", "created.user", "success")
    assert payload["target"] == {"typeURI": "data/security/account/user", "id": user}
    assert payload["resource_info"] == user
    assert payload["observer"]["typeURI"] == "service/security"
    initiator = payload["initiator"]
    assert initiator["typeURI"] == "service/security/account/user"
    assert initiator["username"] == "admin"
    assert initiator["request_id"] == made.headers["x-openstack-request-id"]
    assert initiator["host"]["address"] == "127.0.0.1"
    assert initiator["project_id"]


async def test_a_role_assignment_names_all_parties(cloud, admin):
    found = {}
    for plural, name in (("users", "demo"), ("projects", "demo"), ("roles", "reader")):
        found[plural] = (await admin.get(plural, params={"name": name})).json()[plural][0]["id"]
    path = f"projects/{found['projects']}/users/{found['users']}/roles/{found['roles']}"
    assert (await admin.put(path)).status_code == 204
    assert (await admin.delete(path)).status_code == 204
    for action in ("created.role_assignment", "deleted.role_assignment"):
        told = await newest(cloud, action)
        assert (told["user"], told["project"], told["role"]) == (found["users"], found["projects"], found["roles"])
        assert told["inherited_to_projects"] is False


@pytest.mark.parametrize(
    ("method", "path", "body", "action"),
    [
        ("PUT", "projects/{project}/tags/red", None, "updated.project"),
        ("POST", "services", {"service": {"type": "toy"}}, "created.service"),
        ("PUT", "groups/{group}/users/{user}", None, "updated.group"),
        ("POST", "policies", {"policy": {"type": "text/plain", "blob": "x"}}, "created.policy"),
        ("PATCH", "regions/RegionOne", {"region": {"description": "here"}}, "updated.region"),
        ("DELETE", "auth/tokens", None, "revoked.token"),
    ],
)
async def test_changes_whose_code_tells_nothing_are_told_as_well(cloud, admin, method, path, body, action):
    group = (await admin.post("groups", json={"group": {"name": "g"}})).json()["group"]["id"]
    user = (await admin.get("users", params={"name": "demo"})).json()["users"][0]["id"]
    project = (await admin.get("projects", params={"name": "demo"})).json()["projects"][0]["id"]
    subject = {"X-Subject-Token": await login(cloud, "demo")}
    answer = await admin.request(
        method, path.format(group=group, user=user, project=project), json=body, headers=subject
    )
    assert answer.status_code < 300, answer.text
    told = await newest(cloud, action)
    assert told["initiator"]["request_id"] == answer.headers["x-openstack-request-id"]


async def test_what_is_only_read_fails_or_comes_without_a_good_token_is_not_told(cloud, admin, demo):
    before = len(await records(cloud))
    assert (await admin.post("users", json={"user": {"name": "admin"}})).status_code == 409
    assert (await admin.post("users", json={"user": {"name": 7}})).status_code == 400
    assert (await admin.delete("users/nobody")).status_code == 404
    assert (await admin.get("users")).status_code == 200
    assert (await demo.get("users")).status_code == 403
    async with client(cloud, "no token") as stranger:
        assert (await stranger.post("/identity/v3/users", json={"user": {"name": "x"}})).status_code == 401
    assert len(await records(cloud)) == before


@pytest.mark.parametrize(
    ("method", "path", "body", "action"),
    [
        ("POST", "users", {"user": {"name": "x"}}, "created.user"),
        ("PATCH", "users/{admin}", {"user": {"password": "mine now"}}, "updated.user"),
        ("DELETE", "users/{admin}", None, "deleted.user"),
        ("DELETE", "roles/{role}", None, "deleted.role"),
        ("PUT", "projects/{project}/users/{admin}/roles/{role}", None, "updated.project"),
        ("PUT", "domains/default/config", {"config": {"identity": {"driver": "sql"}}}, "updated.domain"),
    ],
)
async def test_a_change_that_is_refused_is_told_as_a_failure(cloud, admin, demo, method, path, body, action):
    ids = {}
    for name, plural, named in (
        ("admin", "users", "admin"),
        ("project", "projects", "demo"),
        ("role", "roles", "admin"),
    ):
        ids[name] = (await admin.get(plural, params={"name": named})).json()[plural][0]["id"]
    answer = await demo.request(method, path.format(**ids), json=body)
    assert answer.status_code == 403
    (record,) = [one for one in await records(cloud) if one["event_type"] == "identity.request.refused"]
    told = record["payload"]
    assert (told["action"], told["outcome"], told["reason"]["reasonCode"]) == (action, "failure", "403")
    assert told["reason"]["reasonType"] == answer.json()["error"]["message"][:200]
    assert told["initiator"]["username"] == "demo"
    assert told["initiator"]["request_id"] == answer.headers["x-openstack-request-id"]
    assert told["target"]["id"] == (path.format(**ids).split("/")[1] if "/" in path else "unknown")
    assert "mine now" not in json.dumps(record)


async def test_a_wrong_old_password_is_told_and_is_in_no_record(cloud, demo):
    me = (await demo.get("auth/tokens", headers={"X-Subject-Token": demo.headers["X-Auth-Token"]})).json()["token"]
    body = {"user": {"password": "new-one-1", "original_password": "wrong-one-1"}}
    async with client(cloud) as http:
        answer = await http.post(f"/identity/v3/users/{me['user']['id']}/password", json=body)
    assert answer.status_code == 401
    (record,) = [one for one in await records(cloud) if one["event_type"] == "identity.request.refused"]
    assert (record["payload"]["action"], record["payload"]["outcome"]) == ("updated.user", "failure")
    assert record["payload"]["target"]["id"] == me["user"]["id"]
    assert "-one-1" not in json.dumps(record)


async def test_a_wrong_signature_is_told(cloud, admin, demo):
    me = (await demo.get("auth/tokens", headers={"X-Subject-Token": demo.headers["X-Auth-Token"]})).json()["token"]
    made = await demo.post(f"users/{me['user']['id']}/credentials/OS-EC2", json={"tenant_id": me["project"]["id"]})
    signed = {"access": made.json()["credential"]["access"], "signature": "x", "host": "h", "verb": "GET", "path": "/"}
    answer = await admin.post("ec2tokens", json={"credentials": signed | {"params": {"SignatureVersion": "2"}}})
    assert answer.status_code == 401, answer.text
    (record,) = [one for one in await records(cloud) if one["event_type"] == "identity.request.refused"]
    assert (record["payload"]["action"], record["payload"]["initiator"]["username"]) == ("created.ec2token", "admin")


async def test_refusals_can_be_left_out(tmp_path):
    async with running(tmp_path, [SERVICE], {"audit": {"refusals": False}}) as cloud:
        async with client(cloud, await login(cloud, "demo")) as http:
            assert (await http.post("/identity/v3/users", json={"user": {"name": "x"}})).status_code == 403
        assert {one["event_type"] for one in await records(cloud)} == {"identity.authenticate"}


async def test_log_ins_are_told_good_and_bad(cloud):
    async with client(cloud, **{"User-Agent": "curious/1"}) as http:
        good = auth_body("demo", password_of(cloud, "demo"))
        assert (await http.post("/identity/v3/auth/tokens", json=good)).status_code == 201
        told = await newest(cloud, "authenticate")
        assert (told["outcome"], told["methods"]) == ("success", ["password"])
        user = told["initiator"]["user_id"]
        assert told["initiator"]["host"] == {"address": "127.0.0.1", "agent": "curious/1"}
        assert told["target"] == {"typeURI": "service/security/account/user", "id": user}

        assert (await http.post("/identity/v3/auth/tokens", json=auth_body("demo", "wrong"))).status_code == 401
        told = await newest(cloud, "authenticate")
        assert (told["outcome"], told["initiator"]["user_id"]) == ("failure", user)
        assert told["reason"]["reasonCode"] == "401"

        for name in ("d\0emo", "demo" + "x" * 300):
            assert (await http.post("/identity/v3/auth/tokens", json=auth_body(name, "wrong"))).status_code == 401
            assert (await newest(cloud, "authenticate"))["initiator"]["id"] == "unknown"

        bad = auth_body("pass-word typed here", "wrong")
        assert (await http.post("/identity/v3/auth/tokens", json=bad)).status_code == 401
        told = await newest(cloud, "authenticate")
        assert told["initiator"]["id"] == "unknown"
        assert "typed here" not in json.dumps(told)


async def test_programs_that_log_in_by_oauth_are_told_too(cloud, demo):
    me = (await demo.get("auth/tokens", headers={"X-Subject-Token": demo.headers["X-Auth-Token"]})).json()["token"]
    body = {"application_credential": {"name": "c", "secret": "app-secret"}}
    path = f"users/{me['user']['id']}/application_credentials"
    id = (await demo.post(path, json=body)).json()["application_credential"]["id"]
    async with client(cloud) as http:
        for secret, outcome in (("app-secret", "success"), ("wrong", "failure")):
            form = {"grant_type": "client_credentials", "client_id": id, "client_secret": secret}
            await http.post("/identity/v3/OS-OAUTH2/token", data=form)
            told = await newest(cloud, "authenticate")
            assert (told["outcome"], told["methods"]) == (outcome, ["oauth2"])
            assert told["initiator"]["user_id"] == me["user"]["id"]


async def test_log_ins_are_written_by_themselves_and_none_is_lost_by_a_stop(tmp_path):
    async with running(tmp_path, [SERVICE]) as cloud:
        await login(cloud, "demo")
        path = tmp_path / "logs" / "audit.log"
        for _ in range(100):
            await asyncio.sleep(0.05)
            if path.exists() and "authenticate" in path.read_text():
                break
        assert path.read_text().count('"action":"authenticate"') == 1
        await login(cloud, "admin")
    async with running(tmp_path, [SERVICE]) as cloud:
        assert len([one for one in await records(cloud) if one["event_type"] == "identity.authenticate"]) == 2


async def test_events_of_log_ins_do_not_pile_up(cloud, admin):
    def kinds(tx):
        return set(tx.scalars(select(Event.kind)).all())

    def not_written_yet(tx):
        events.emit(tx, AUTHENTICATE, "somebody")
        events.forget(tx, AUTHENTICATE, CONSUMER, timedelta(seconds=-1), 100)
        return kinds(tx)

    assert AUTHENTICATE in await cloud.db.write(not_written_yet)
    await admin.post("groups", json={"group": {"name": "g"}})
    assert [one for one in await records(cloud) if one["event_type"] == AUTHENTICATE]
    await cloud.db.write(events.forget, AUTHENTICATE, CONSUMER, timedelta(hours=1), 100)
    assert AUTHENTICATE in await cloud.db.read(kinds)
    await cloud.db.write(events.forget, AUTHENTICATE, CONSUMER, timedelta(0), 100)
    assert await cloud.db.read(kinds) == {"identity.group.created"}


async def test_a_file_that_was_moved_away_is_opened_anew(cloud, admin):
    path = cloud.config.state / "logs" / "audit.log"
    await records(cloud)
    path.rename(path.with_suffix(".1"))
    await admin.post("groups", json={"group": {"name": "g"}})
    assert [one["event_type"] for one in await records(cloud)] == ["identity.group.created"]
    assert path.stat().st_mode & 0o777 == 0o600


async def test_it_can_go_to_the_log_or_be_switched_off(tmp_path, caplog):
    caplog.set_level(logging.INFO, "pileus.audit")

    def written():
        return [record for record in caplog.records if record.name == "pileus.audit"]

    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    async with running(tmp_path / "a", [SERVICE], {"audit": {"sink": "log"}}) as cloud:
        await login(cloud, "demo")
        await records(cloud)
    assert written()[-1].__dict__["audit"]["event_type"] == "identity.authenticate"
    caplog.clear()
    async with running(tmp_path / "b", [SERVICE], {"audit": {"enabled": False}}) as cloud:
        await login(cloud, "demo")
        assert await records(cloud) == []
    assert not written()


async def test_neither_log_nor_audit_holds_a_secret(cloud, admin, demo, caplog):
    caplog.set_level(logging.DEBUG)
    secrets = [admin.headers["X-Auth-Token"], demo.headers["X-Auth-Token"], password_of(cloud, "demo")]
    me = (await demo.get("auth/tokens", headers={"X-Subject-Token": secrets[1]})).json()["token"]["user"]["id"]
    project = (await demo.get("auth/projects")).json()["projects"][0]["id"]

    async def use(http, method, path, body, *hidden):
        secrets.extend(hidden)
        return await http.request(method, path, json=body)

    await use(admin, "POST", "users", {"user": {"name": "n", "password": "pw-new-1"}}, "pw-new-1")
    await use(admin, "PATCH", f"users/{me}", {"user": {"password": "pw-new-2"}}, "pw-new-2")
    wrong = {"user": {"password": "pw-new-3", "original_password": "pw-old-3"}}
    await use(admin, "POST", f"users/{me}/password", wrong, "pw-new-3", "pw-old-3")
    blob = {"credential": {"type": "totp", "user_id": me, "blob": "BLOBBLOBBLOBBLOB"}}
    await use(admin, "POST", "credentials", blob, "BLOBBLOBBLOBBLOB")
    ec2 = await use(admin, "POST", f"users/{me}/credentials/OS-EC2", {"tenant_id": project})
    secrets.append(ec2.json()["credential"]["secret"])
    async with client(cloud) as http:
        http.base_url = "http://cloud.test/identity/v3/"
        fresh = await http.post("auth/tokens", json=auth_body("demo", "pw-new-2", {"project": {"id": project}}))
        secrets.append(fresh.headers["X-Subject-Token"])
        http.headers["X-Auth-Token"] = secrets[-1]
        body = {"application_credential": {"name": "c", "secret": "app-secret-1"}}
        made = await use(http, "POST", f"users/{me}/application_credentials", body, "app-secret-1")
        assert made.status_code == 201, made.text
        login_by = {"methods": ["application_credential"]}
        proof = {"id": made.json()["application_credential"]["id"], "secret": "app-secret-2"}
        bad = {"auth": {"identity": {**login_by, "application_credential": proof}}}
        assert (await use(http, "POST", "auth/tokens", bad, "app-secret-2")).status_code == 401
        forged = {"X-Auth-Token": "gAAAAAforged-token-text"}
        secrets.append(forged["X-Auth-Token"])
        assert (await http.get("users", headers=forged)).status_code == 401
        await use(
            http,
            "POST",
            "auth/tokens",
            {"auth": {"identity": {"methods": ["password"], "password": "oops-pw"}}},
            "oops-pw",
        )
    told = json.dumps(await records(cloud))
    lines = "\n".join(str(record.__dict__) for record in caplog.records if record.name.startswith("pileus"))
    assert len(told) > 1000
    assert "POST /identity/v3/users 201" in caplog.text
    for secret in secrets:
        assert secret not in told
        assert secret not in lines
        assert secret not in caplog.text
