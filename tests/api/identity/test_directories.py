"""Domains whose people a real LDAP server keeps."""

import asyncio
import hashlib
import time

import pytest

from pileus.kernel.testing import client, running
from pileus.services.identity.app.directories import Directories
from pileus.services.identity.drivers.directory import Directory
from pileus.services.identity.model.directories import DirectorySettings
from pileus.services.identity.service import SERVICE
from pileus.services.identity.testing import auth_body, login, password_of
from tests.api.identity.directory_server import ADMIN_PASSWORD, SUFFIX, directory_server, person, team
from tests.api.identity.test_tokens import TOKENS, id_of


@pytest.fixture
def ldap(tmp_path):
    (tmp_path / "ldap").mkdir()
    with directory_server(tmp_path / "ldap") as server:
        yield server


@pytest.fixture
async def cloud(tmp_path, ldap):
    (tmp_path / "cloud").mkdir()
    async with running(tmp_path / "cloud", [SERVICE], {"identity": {"domains": {"corp": ldap.settings()}}}) as runtime:
        yield runtime


@pytest.fixture
async def corp(admin):
    return (await admin.post("domains", json={"domain": {"name": "corp"}})).json()["domain"]["id"]


async def log_in(cloud, corp, name="jane", password="secret of jane", scope=None):
    async with client(cloud) as http:
        return await http.post(TOKENS, json=auth_body(name, password, scope, domain=corp))


async def people(admin, corp, **filters):
    answer = await admin.get("users", params={"domain_id": corp, **filters})
    assert answer.status_code == 200, answer.text
    return {user["name"]: user for user in answer.json()["users"]}


async def test_people_log_in_with_the_directorys_password(cloud, corp):
    answer = await log_in(cloud, corp)
    assert answer.status_code == 201, answer.text
    user = answer.json()["token"]["user"]
    assert (user["name"], user["domain"]["name"]) == ("jane", "corp")
    assert user["id"] == hashlib.sha256(f"{corp}userjane".encode()).hexdigest()
    by_id = {
        "identity": {"methods": ["password"], "password": {"user": {"id": user["id"], "password": "secret of jane"}}}
    }
    async with client(cloud) as http:
        assert (await http.post(TOKENS, json={"auth": by_id})).status_code == 201


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("jane", "wrong"),
        ("jane", ""),  # servers take an empty one for no log-in at all
        ("nobody", "secret of jane"),
        ("john", "secret of john"),  # disabled there
        ("*", "secret of jane"),
        ("jane)(sn=*", "secret of jane"),
        ("jane\0", "secret of jane"),
        ("ja*", "secret of jane"),
    ],
)
async def test_others_are_refused_alike(cloud, corp, name, password):
    answer = await log_in(cloud, corp, name, password)
    assert answer.status_code == 401
    assert answer.json()["error"]["message"] == "The request you have made requires authentication."


async def test_people_and_groups_are_listed_as_the_directory_has_them(cloud, corp, admin, ldap):
    found = await people(admin, corp)
    assert {name: user["enabled"] for name, user in found.items()} == {"jane": True, "john": False}
    assert found["jane"]["email"] == "jane@corp.test"
    [group] = (await admin.get("groups", params={"domain_id": corp})).json()["groups"]
    assert group["name"] == "staff"
    members = (await admin.get(f"groups/{group['id']}/users")).json()["users"]
    assert [user["name"] for user in members] == ["jane"]
    groups = (await admin.get(f"users/{found['jane']['id']}/groups")).json()["groups"]
    assert [row["id"] for row in groups] == [group["id"]]
    assert list(await people(admin, corp, name="jane")) == ["jane"]
    assert list(await people(admin, corp, name__startswith="jo")) == ["john"]
    assert list(await people(admin, corp, enabled="false")) == ["john"]
    await asyncio.to_thread(ldap.add, person("zoe"))
    assert sorted(await people(admin, corp)) == ["jane", "john", "zoe"]


async def test_roles_of_a_directorys_group_count(cloud, corp, admin, ldap):
    [group] = (await admin.get("groups", params={"domain_id": corp})).json()["groups"]
    project, role = await id_of(admin, "projects", "demo"), await id_of(admin, "roles", "member")
    await admin.put(f"projects/{project}/groups/{group['id']}/roles/{role}")
    scope = {"project": {"id": project}}
    answer = await log_in(cloud, corp, scope=scope)
    assert {one["name"] for one in answer.json()["token"]["roles"]} == {"member", "reader"}
    await asyncio.to_thread(ldap.add, person("zoe"))
    await asyncio.to_thread(
        ldap.change,
        f"dn: cn=staff,ou=UserGroups,{SUFFIX}\nchangetype: modify\n"
        f"replace: member\nmember: uid=zoe,ou=Users,{SUFFIX}\n",
    )
    assert (await log_in(cloud, corp, "zoe", "secret of zoe", scope)).status_code == 201
    assert (await log_in(cloud, corp, scope=scope)).status_code == 401  # no member any more, seen at the log-in


async def test_who_leaves_the_directory_loses_tokens_and_gets_back_what_they_had(cloud, corp, admin, ldap):
    answer = await log_in(cloud, corp)
    user, token = answer.json()["token"]["user"]["id"], answer.headers["x-subject-token"]
    project, role = await id_of(admin, "projects", "demo"), await id_of(admin, "roles", "member")
    await admin.put(f"projects/{project}/users/{user}/roles/{role}")
    await asyncio.to_thread(ldap.remove, "uid=jane,ou=Users")
    assert list(await people(admin, corp)) == ["john"]
    async with client(cloud, token) as http:
        assert (await http.get("/identity/v3/auth/projects")).status_code == 401
    assert (await log_in(cloud, corp)).status_code == 401
    await asyncio.to_thread(ldap.add, person("jane"))
    back = await log_in(cloud, corp, scope={"project": {"id": project}})
    assert back.status_code == 201
    assert back.json()["token"]["user"]["id"] == user


async def test_a_changed_name_is_seen_and_the_user_stays_the_same(cloud, corp, admin, ldap):
    before = (await people(admin, corp))["jane"]["id"]
    await asyncio.to_thread(ldap.change, f"dn: uid=jane,ou=Users,{SUFFIX}\nchangetype: modify\nreplace: sn\nsn: Zoë\n")
    assert (await people(admin, corp))["Zoë"]["id"] == before
    assert (await log_in(cloud, corp, "Zoë")).json()["token"]["user"]["id"] == before


async def test_two_of_one_name_are_told_apart(cloud, corp, admin, ldap):
    await asyncio.to_thread(ldap.add, person("jane", id="jane2"))
    names = sorted(await people(admin, corp))
    assert len(names) == 3
    [other] = [name for name in names if name.startswith("jane (")]
    ids = {(await log_in(cloud, corp, name)).json()["token"]["user"]["id"] for name in ("jane", other)}
    assert ids == {(await people(admin, corp))[name]["id"] for name in ("jane", other)}


async def test_the_directory_is_only_read(cloud, corp, admin):
    jane = (await people(admin, corp))["jane"]["id"]
    [group] = (await admin.get("groups", params={"domain_id": corp})).json()["groups"]
    demo = await id_of(admin, "users", "demo")
    refused = [
        await admin.post("users", json={"user": {"name": "x", "domain_id": corp}}),
        await admin.post("groups", json={"group": {"name": "x", "domain_id": corp}}),
        await admin.patch(f"users/{jane}", json={"user": {"enabled": False}}),
        await admin.patch(f"groups/{group['id']}", json={"group": {"name": "x"}}),
        await admin.delete(f"users/{jane}"),
        await admin.delete(f"groups/{group['id']}"),
        await admin.put(f"groups/{group['id']}/users/{demo}"),
        await admin.delete(f"groups/{group['id']}/users/{jane}"),
    ]
    assert [answer.status_code for answer in refused] == [403] * 8
    assert (await log_in(cloud, corp)).status_code == 201


async def test_a_server_that_is_down_is_named_and_holds_up_nobody_else(cloud, corp, admin, ldap):
    token = (await log_in(cloud, corp)).headers["x-subject-token"]
    await asyncio.to_thread(ldap.stop)
    answer = await log_in(cloud, corp)
    assert answer.status_code == 503
    assert ldap.url in answer.json()["error"]["message"]
    assert ADMIN_PASSWORD not in answer.text
    assert (await admin.get("users", params={"domain_id": corp})).status_code == 503
    began = time.monotonic()
    waiting = asyncio.gather(*(log_in(cloud, corp) for _ in range(20)))
    async with client(cloud) as http:
        other = await http.post(TOKENS, json=auth_body("demo", password_of(cloud, "demo")))
    assert other.status_code == 201
    assert time.monotonic() - began < 5
    assert {answer.status_code for answer in await waiting} == {503}
    async with client(cloud, token) as http:  # who is in stays in
        assert (await http.get("/identity/v3/auth/projects")).status_code == 200
    assert (await admin.get("users", params={"domain_id": "default"})).status_code == 200
    await asyncio.to_thread(ldap.start)
    assert (await log_in(cloud, corp)).status_code == 201


async def test_a_domain_can_have_its_directory_in_its_own_configuration(cloud, admin, ldap):
    other = (await admin.post("domains", json={"domain": {"name": "other"}})).json()["domain"]["id"]
    old = {"name": "old", "password": "of old", "domain_id": other}
    assert (await admin.post("users", json={"user": old})).status_code == 201
    config = {"identity": {"driver": "ldap"}, "ldap": ldap.settings()}
    assert (await admin.put(f"domains/{other}/config", json={"config": config})).status_code == 201
    answer = await log_in(cloud, other)
    assert answer.status_code == 201, answer.text
    assert answer.json()["token"]["user"]["id"] == hashlib.sha256(f"{other}userjane".encode()).hexdigest()
    assert (await log_in(cloud, other, "old", "of old")).status_code == 201  # it was here before the directory
    assert sorted(await people(admin, other)) == ["jane", "john", "old"]
    await admin.patch(f"domains/{other}/config", json={"config": {"identity": {"driver": "sql"}}})
    assert (await log_in(cloud, other)).status_code == 401


@pytest.mark.parametrize("how", ["ldaps", "starttls"])
async def test_tls_is_used_and_the_servers_certificate_checked(tmp_path, ldap, how):
    more = {"url": ldap.secure_url} if how == "ldaps" else {"use_tls": True}
    tables = {
        "identity": {
            "domains": {
                "good": ldap.settings(**more, tls_cacertfile=str(ldap.certificate)),
                "bad": ldap.settings(**more),  # nobody vouches for the certificate
            }
        }
    }
    (tmp_path / "tls").mkdir()
    async with running(tmp_path / "tls", [SERVICE], tables) as runtime:
        statuses = {}
        async with client(runtime, await login(runtime, "admin")) as http:
            for name in ("good", "bad"):
                made = await http.post("/identity/v3/domains", json={"domain": {"name": name}})
                statuses[name] = (await log_in(runtime, made.json()["domain"]["id"])).status_code
    assert statuses == {"good": 201, "bad": 503}


async def test_a_directory_is_mirrored_without_anybody_asking(cloud, corp, admin, ldap):
    token = (await log_in(cloud, corp)).headers["x-subject-token"]
    await asyncio.to_thread(
        ldap.change, f"dn: uid=jane,ou=Users,{SUFFIX}\nchangetype: modify\nreplace: employeeType\nemployeeType: FALSE\n"
    )
    await asyncio.to_thread(ldap.add, team("late", "jane"))
    assert await cloud.part(Directories).refresh(None, corp)
    async with client(cloud, token) as http:
        assert (await http.get("/identity/v3/auth/projects")).status_code == 401
    assert await id_of(admin, "groups", "late")


def enabled_users(*members):
    lines = "".join(f"member: uid={member},ou=Users,{SUFFIX}\n" for member in members)
    return f"\ndn: cn=enabled_users,ou=Users,{SUFFIX}\nobjectClass: groupOfNames\ncn: enabled_users\n{lines}"


async def test_enabled_is_who_is_in_a_group(tmp_path, ldap):
    settings = {"identity": {"domains": {"corp": ldap.settings(user_enabled_emulation=True)}}}
    async with running(tmp_path, [SERVICE], settings) as cloud, client(cloud, await login(cloud, "admin")) as admin:
        admin.base_url = "http://cloud.test/identity/v3/"
        corp = (await admin.post("domains", json={"domain": {"name": "corp"}})).json()["domain"]["id"]
        assert {one["enabled"] for one in (await people(admin, corp)).values()} == {False}, "there is no such group"
        ldap.add(enabled_users("john"))
        found = await people(admin, corp)
        assert {name: user["enabled"] for name, user in found.items()} == {"jane": False, "john": True}
        assert (await log_in(cloud, corp, "john", "secret of john")).status_code == 201
        assert (await log_in(cloud, corp)).status_code == 401
        assert (await log_in(cloud, corp, "nobody")).status_code == 401
        member = f"uid=jane,ou=Users,{SUFFIX}"
        ldap.change(f"dn: cn=enabled_users,ou=Users,{SUFFIX}\nchangetype: modify\nadd: member\nmember: {member}\n")
        token = (await log_in(cloud, corp)).headers["X-Subject-Token"]
        ldap.change(f"dn: cn=enabled_users,ou=Users,{SUFFIX}\nchangetype: modify\ndelete: member\nmember: {member}\n")
        assert not (await people(admin, corp))["jane"]["enabled"]
        assert (await admin.get("auth/tokens", headers={"X-Subject-Token": token})).status_code == 404


@pytest.mark.parametrize("nesting", [True, False])
async def test_who_is_in_a_group_that_is_in_a_group_is_in_both_if_asked_for(tmp_path, ldap, nesting):
    settings = {"identity": {"domains": {"corp": ldap.settings(group_ad_nesting=nesting)}}}
    inside = [f"cn={name},ou=UserGroups,{SUFFIX}" for name in ("staff", "company", "world")]
    for name, held in (("company", inside[0]), ("world", inside[1])):
        ldap.add(f"\ndn: cn={name},ou=UserGroups,{SUFFIX}\nobjectClass: groupOfNames\nou: {name}\nmember: {held}\n")
    circle = f"dn: {inside[0]}\nchangetype: modify\nadd: member\nmember: {inside[2]}\n"
    ldap.change(circle)
    wanted = ["company", "staff", "world"] if nesting else ["staff"]
    directory = Directory(DirectorySettings(**ldap.settings(group_ad_nesting=nesting)))
    known = directory.verify("secret of jane", name="jane")
    assert known is not None
    assert sorted(team.name for team in known.teams) == wanted
    async with running(tmp_path, [SERVICE], settings) as cloud, client(cloud, await login(cloud, "admin")) as admin:
        admin.base_url = "http://cloud.test/identity/v3/"
        corp = (await admin.post("domains", json={"domain": {"name": "corp"}})).json()["domain"]["id"]
        jane = (await people(admin, corp))["jane"]["id"]
        groups = (await admin.get(f"users/{jane}/groups")).json()["groups"]
        assert sorted(group["name"] for group in groups) == wanted
