"""Taking over a Keystone: data/keystone.json is what a real one (30.0.0), filled through its API, had kept."""

import json
import sqlite3
from pathlib import Path

import pytest

from pileus.cli.openrc import exports
from pileus.cli.state import Cloud, State
from pileus.kernel.testing import client, running
from pileus.services.identity.app import secrets
from pileus.services.identity.keystone.source import SourceError, open_source
from pileus.services.identity.keystone.takeover import Choices, take_over
from pileus.services.identity.model.oauth1 import Consumer
from pileus.services.identity.service import SERVICE
from pileus.services.identity.testing import auth_body

RECORDED = json.loads((Path(__file__).parent / "data" / "keystone.json").read_text())
MADE = RECORDED["made"]
ACME = {"domain": {"id": MADE["acme"]}, "name": "web"}


@pytest.fixture
def old(tmp_path):
    """The old Keystone's database file, and the folder of its credential keys."""
    path, keys = tmp_path / "keystone.db", tmp_path / "keys"
    keys.mkdir()
    for name, key in RECORDED["credential_keys"].items():
        (keys / name).write_text(key)
    with sqlite3.connect(path) as connection:
        for name, table in RECORDED["tables"].items():
            columns = ", ".join(f'"{column}"' for column in table["columns"])
            connection.execute(f'create table "{name}" ({columns})')
            blanks = ", ".join("?" for _ in table["columns"])
            connection.executemany(f'insert into "{name}" values ({blanks})', table["rows"])
    return path, keys


async def bring_in(cloud, old, **choices):
    path, keys = old
    return await take_over(cloud, await open_source(str(path)), Choices(**{"credential_keys": keys, **choices}))


def outcomes(report):
    """Return the sum of each outcome."""
    found = {}
    for (_, outcome), count in report.counts.items():
        found[outcome] = found.get(outcome, 0) + count
    return found


async def log_in(cloud, body, *, good=True):
    async with client(cloud) as http:
        answer = await http.post("/identity/v3/auth/tokens", json=body)
    assert answer.status_code == (201 if good else 401), answer.text
    return answer.headers.get("X-Subject-Token"), answer.json().get("token")


def session(cloud, token):
    http = client(cloud, token)
    http.base_url = "http://cloud.test/identity/v3/"
    return http


@pytest.mark.parametrize(
    ("name", "password", "domain"),
    [
        ("admin", "adminpw", "default"),
        ("alice", "alice secret 2", MADE["acme"]),
        ("bob", MADE["long"], MADE["acme"]),
        ("scrypt-user", "scrypt pässword", "default"),
        ("pbkdf2_sha512-user", "pbkdf2_sha512 pässword", "default"),
        ("bcrypt_sha256-user", "bcrypt_sha256 pässword", "default"),
    ],
)
async def test_people_log_in_with_the_passwords_they_had(cloud, old, name, password, domain):
    await bring_in(cloud, old)
    _, token = await log_in(cloud, auth_body(name, password, domain=domain))
    assert token["user"]["name"] == name
    await log_in(cloud, auth_body(name, f"x{password}", domain=domain), good=False)


async def test_a_password_of_the_past_may_not_come_back(tmp_path, old):
    strict = {"identity": {"security_compliance": {"unique_last_password_count": 3}}}
    (tmp_path / "strict").mkdir()
    async with running(tmp_path / "strict", [SERVICE], strict) as cloud:
        await bring_in(cloud, old)
        async with client(cloud) as http:
            change = {"original_password": "alice secret 2", "password": "alice secret"}
            path = f"/identity/v3/users/{MADE['alice']}/password"
            assert (await http.post(path, json={"user": change})).status_code == 400
            assert (await http.post(path, json={"user": {**change, "password": "alice secret 3"}})).status_code == 204


async def test_who_could_not_log_in_still_cannot(cloud, old):
    await bring_in(cloud, old)
    former, disabled = ("alice", "alice secret"), ("carol", "carol secret")
    for name, password in (former, disabled, ("nopass", ""), ("dave", "dave secret")):  # dave needs a passcode too
        await log_in(cloud, auth_body(name, password, domain=MADE["acme"]), good=False)


async def test_roles_are_where_they_were(cloud, old):
    await bring_in(cloud, old)
    _, token = await log_in(cloud, auth_body("alice", "alice secret 2", {"project": ACME}, MADE["acme"]))
    assert token["project"]["id"] == MADE["web"]
    assert {role["name"] for role in token["roles"]} == {"member", "reader"}
    _, token = await log_in(cloud, auth_body("alice", "alice secret 2", {"domain": {"id": MADE["acme"]}}, MADE["acme"]))
    assert {role["name"] for role in token["roles"]} == {"manager", "member", "reader"}
    _, token = await log_in(cloud, auth_body("bob", MADE["long"], {"project": ACME}, MADE["acme"]))
    assert {role["name"] for role in token["roles"]} == {"member", "reader"}  # of a group, inherited from the domain
    _, token = await log_in(cloud, auth_body("bob", MADE["long"], {"system": {"all": True}}, MADE["acme"]))
    assert {role["name"] for role in token["roles"]} == {"auditor", "reader"}


async def test_things_are_as_they_were(cloud, admin, old):
    await bring_in(cloud, old)
    web = (await admin.get(f"projects/{MADE['web']}")).json()["project"]
    assert (web["description"], web["color"], sorted(web["tags"])) == ("The site", "teal", ["blue", "green"])
    fixed = (await admin.get(f"projects/{MADE['fixed']}")).json()["project"]
    assert fixed["options"] == {"immutable": True}
    test = (await admin.get(f"projects/{MADE['sub']}")).json()["project"]
    assert (test["parent_id"], test["enabled"]) == (MADE["web"], False)
    assert (await admin.get(f"domains/{MADE['off']}")).json()["domain"]["enabled"] is False
    alice = (await admin.get(f"users/{MADE['alice']}")).json()["user"]
    assert (alice["email"], alice["default_project_id"]) == ("alice@acme.example", MADE["web"])
    dave = (await admin.get(f"users/{MADE['dave']}")).json()["user"]
    assert dave["options"] == {
        "ignore_password_expiry": True,
        "lock_password": True,
        "multi_factor_auth_enabled": True,
        "multi_factor_auth_rules": [["password", "totp"]],
    }
    north = (await admin.get("regions/North")).json()["region"]
    assert (north["description"], north["parent_region_id"]) == ("Cold", "RegionOne")
    limits = (await admin.get("limits", params={"project_id": MADE["web"]})).json()["limits"]
    assert [(one["resource_name"], one["resource_limit"]) for one in limits] == [("servers", 3)]
    config = (await admin.get(f"domains/{MADE['acme']}/config")).json()["config"]
    assert config == {"identity": {"driver": "ldap"}, "ldap": {"url": "ldap://x", "user_tree_dn": "ou=people"}}
    provider = (await admin.get("OS-FEDERATION/identity_providers/corp")).json()["identity_provider"]
    assert provider["remote_ids"] == ["https://corp.example/idp"]
    mapping = (await admin.get("OS-FEDERATION/mappings/m1")).json()["mapping"]
    assert mapping["rules"][0]["remote"] == [{"type": "UserName"}]
    policy = (await admin.get(f"policies/{MADE['pol']['id']}")).json()["policy"]
    assert policy["blob"] == MADE["pol"]["blob"]


async def test_secrets_are_opened_and_sealed_anew(cloud, admin, old):
    report = await bring_in(cloud, old)
    assert not [one for one in report.left_out if "redential" in one]
    for name in ("totp", "cert"):
        shown = (await admin.get(f"credentials/{MADE[name]['id']}")).json()["credential"]
        assert shown["blob"] == MADE[name]["blob"]
    assert shown["note"] == "kept"
    answer = await admin.get(f"users/{MADE['alice']}/credentials/OS-EC2/{MADE['ec2']['access']}")
    assert answer.status_code == 200, answer.text
    ec2 = answer.json()["credential"]
    assert (ec2["secret"], ec2["tenant_id"]) == (MADE["ec2"]["secret"], MADE["web"])
    consumer = await cloud.db.read(lambda tx: tx.get(Consumer, MADE["con"]["id"]))
    assert secrets.unseal(cloud, consumer.sealed_secret) == MADE["con"]["secret"]


async def test_programs_log_in_with_the_secrets_they_had(cloud, old):
    await bring_in(cloud, old)
    for name, secret, expires in (("ac", MADE["ac"]["secret"], True), ("ar", "narrow secret", False)):
        proof: dict[str, object] = {"methods": ["application_credential"]}
        proof["application_credential"] = {"id": MADE[name]["id"], "secret": secret}
        text, token = await log_in(cloud, {"auth": {"identity": proof}})
        assert (token["project"]["id"], token["application_credential"]["restricted"]) == (MADE["web"], expires)
        async with session(cloud, text) as http:  # the second may only look at users and servers
            shown = await http.get(f"users/{MADE['alice']}")
            assert shown.status_code == 200
            assert (await http.get("auth/projects")).status_code == (200 if name == "ac" else 401)


async def test_trusts_go_on(cloud, old):
    await bring_in(cloud, old)
    text, token = await log_in(cloud, auth_body("bob", MADE["long"], None, MADE["acme"]))
    scope = {"OS-TRUST:trust": {"id": MADE["trust"]["id"]}}
    proof = {"methods": ["token"], "token": {"id": text}}
    _, token = await log_in(cloud, {"auth": {"identity": proof, "scope": scope}})
    assert token["user"]["id"] == MADE["alice"]
    assert token["OS-TRUST:trust"]["trustee_user"]["id"] == MADE["bob"]


async def test_this_clouds_own_names_give_way_and_still_work(cloud, old):
    State(cloud.config.state).save(Cloud(fake=True))
    report = await bring_in(cloud, old)
    assert report.renamed == [("project", "admin", "pileus-admin"), ("user", "admin", "pileus-admin")]
    told = exports(Cloud(), State(cloud.config.state), "admin")
    project = {"project": {"name": told["OS_PROJECT_NAME"], "domain": {"id": "default"}}}
    _, token = await log_in(cloud, auth_body(told["OS_USERNAME"], told["OS_PASSWORD"], project))
    assert "admin" in {role["name"] for role in token["roles"]}


async def test_a_dry_run_tells_the_same_and_changes_nothing(cloud, admin, old):
    before = (await admin.get("users")).json()["users"]
    trial = await bring_in(cloud, old, trial=True)
    assert (await admin.get("users")).json()["users"] == before
    assert (await admin.get(f"projects/{MADE['web']}")).status_code == 404
    real = await bring_in(cloud, old)
    assert trial.counts == real.counts
    assert ("users", "9", "", "", "") in real.table()


async def test_once_more_brings_only_what_has_changed(cloud, admin, old):
    await bring_in(cloud, old)
    again = outcomes(await bring_in(cloud, old))
    assert again.keys() == {"same", "left out"}
    with sqlite3.connect(old[0]) as connection:
        connection.execute("update local_user set name = 'alicia' where name = 'alice'")
        connection.execute("delete from project_tag where name = 'blue'")
    changed = await bring_in(cloud, old)
    assert outcomes(changed)["changed"] == 1
    assert (await admin.get(f"users/{MADE['alice']}")).json()["user"]["name"] == "alicia"
    web = (await admin.get(f"projects/{MADE['web']}")).json()["project"]
    assert sorted(web["tags"]) == ["blue", "green"], "nothing is ever removed"


async def test_services_come_as_chosen(cloud, admin, old):
    await bring_in(cloud, old)  # compute is not served by this cloud of identity alone
    found = {row["type"] for row in (await admin.get("services")).json()["services"]}
    assert found == {"identity", "compute"}
    urls = {row["url"] for row in (await admin.get("endpoints")).json()["endpoints"]}
    assert "http://old.example/compute/v2.1" in urls
    assert "http://127.0.0.1:15000/v3" not in urls
    await bring_in(cloud, old, services="all")
    urls = {row["url"] for row in (await admin.get("endpoints")).json()["endpoints"]}
    assert "http://127.0.0.1:15000/v3" in urls


async def test_without_the_right_keys_credentials_are_named_and_left_out(cloud, admin, old):
    report = await bring_in(cloud, old, credential_keys=None)
    assert len([one for one in report.left_out if one.startswith("Credential ")]) == 3
    assert (await admin.get(f"credentials/{MADE['totp']['id']}")).status_code == 404
    with pytest.raises(SourceError, match="There are no keys in"):
        await bring_in(cloud, old, credential_keys=old[0].parent)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("/nowhere/keystone.db", "There is no file /nowhere/keystone.db"),
        ("oracle://somewhere/keystone", "oracle is not a database that Keystone keeps"),
        ("postgresql://u:hidden@127.0.0.1:1/keystone", "cannot be read"),
        (":// ", "is not the URL of a database"),
    ],
)
async def test_what_cannot_be_read_is_said_without_the_password(text, sentence):
    with pytest.raises(SourceError, match=sentence) as raised:
        await open_source(text)
    assert "hidden" not in str(raised.value)


async def test_another_programs_database_is_refused(tmp_path):
    with sqlite3.connect(tmp_path / "other.db") as connection:
        connection.execute("create table user (id)")
    with pytest.raises(SourceError, match="no Keystone's database: it has no table assignment"):
        await open_source(str(tmp_path / "other.db"))
