"""Settings of single domains: set, read, changed, forgotten; secrets never shown."""

import pytest

from pileus.kernel.testing import client, running
from pileus.services.identity.app import domain_configs
from pileus.services.identity.service import SERVICE
from pileus.services.identity.testing import login

CONFIG = {
    "identity": {"driver": "ldap"},
    "ldap": {"url": "ldap://directory.test", "user": "cn=admin", "password": "s3cret", "page_size": 50},
}
SHOWN = {"identity": {"driver": "ldap"}, "ldap": {"url": "ldap://directory.test", "user": "cn=admin", "page_size": 50}}


@pytest.fixture
async def domain(admin):
    return (await admin.post("domains", json={"domain": {"name": "acme"}})).json()["domain"]["id"]


@pytest.fixture
async def path(admin, domain):
    """Return the path of a domain's configuration that has been set."""
    answer = await admin.put(f"domains/{domain}/config", json={"config": CONFIG})
    assert (answer.status_code, answer.json()) == (201, {"config": SHOWN})
    return f"domains/{domain}/config"


async def test_groups_and_options_are_shown_without_secrets(cloud, admin, domain, path):
    assert (await admin.get(path)).json() == {"config": SHOWN}
    assert (await admin.get(f"{path}/ldap")).json() == {"config": {"ldap": SHOWN["ldap"]}}
    assert (await admin.get(f"{path}/ldap/page_size")).json() == {"config": {"page_size": 50}}
    assert (await admin.head(f"{path}/ldap/user")).status_code == 200
    assert (await admin.get(f"{path}/ldap/password")).status_code == 404
    assert (await admin.get(f"{path}/ldap/suffix")).status_code == 404
    assert "s3cret" not in (await admin.get(path)).text
    whole = await cloud.db.read(domain_configs.complete, cloud, domain)
    assert (whole["ldap"]["password"], whole["ldap"]["suffix"]) == ("s3cret", "cn=example,cn=com")
    rows = await cloud.db.read(domain_configs.domain_configs.list_options, domain)
    assert not any("s3cret" in row.value for row in rows)


async def test_secrets_are_filled_into_other_options(cloud, admin, domain):
    config = {"ldap": {"url": "ldap://u:%(password)s@host", "password": "p%1"}}
    await admin.put(f"domains/{domain}/config", json={"config": config})
    whole = await cloud.db.read(domain_configs.complete, cloud, domain)
    assert whole["ldap"]["url"] == "ldap://u:p%1@host"


async def test_put_replaces_and_patch_changes(admin, path):
    answer = await admin.patch(path, json={"config": {"ldap": {"user": "cn=other"}}})
    assert answer.json()["config"]["ldap"] == {**SHOWN["ldap"], "user": "cn=other"}
    answer = await admin.patch(f"{path}/identity", json={"config": {"identity": {"driver": "sql", "list_limit": 9}}})
    assert answer.json()["config"]["identity"] == {"driver": "sql", "list_limit": 9}
    answer = await admin.patch(f"{path}/identity/driver", json={"config": {"driver": "ldap"}})
    assert answer.json()["config"]["identity"]["driver"] == "ldap"
    answer = await admin.put(path, json={"config": {"identity": {"driver": "sql"}}})
    assert (answer.status_code, answer.json()) == (200, {"config": {"identity": {"driver": "sql"}}})


async def test_a_domain_bounds_the_lists_of_its_people(admin, domain):
    group = (await admin.post("groups", json={"group": {"name": "all", "domain_id": domain}})).json()["group"]["id"]
    for name in ("a", "b", "c"):
        user = (await admin.post("users", json={"user": {"name": name, "domain_id": domain}})).json()["user"]["id"]
        await admin.put(f"groups/{group}/users/{user}")
    config = {"identity": {"list_limit": 2}}
    assert (await admin.put(f"domains/{domain}/config", json={"config": config})).status_code == 201
    for path in (f"users?domain_id={domain}", f"users?domain_id={domain}&limit=3", f"groups/{group}/users"):
        found = (await admin.get(path)).json()
        assert (len(found["users"]), found["truncated"]) == (2, True), path
        rest = (await admin.get(found["links"]["next"])).json()
        assert (len(rest["users"]), rest.get("truncated")) == (1, None), path
    assert len((await admin.get(f"users?domain_id={domain}&limit=1")).json()["users"]) == 1
    assert "truncated" not in (await admin.get(f"groups?domain_id={domain}")).json()
    assert "truncated" not in (await admin.get("users")).json()


async def test_one_setting_bounds_all_lists_and_domains_choose_for_their_people(tmp_path):
    settings = {"identity": {"password_hash_rounds": 4, "list_limit": 2}}
    async with (
        running(tmp_path, [SERVICE], settings) as cloud,
        client(cloud, await login(cloud, "admin")) as http,
    ):
        http.base_url = "http://cloud.test/identity/v3/"
        for path, noun in (("users?limit=0", "users"), ("roles?limit=5", "roles")):
            found = (await http.get(path)).json()
            assert (len(found[noun]), found["truncated"]) == (2, True), path
        await http.put("domains/default/config", json={"config": {"identity": {"list_limit": 50}}})
        found = (await http.get("users?domain_id=default")).json()
        assert len(found["users"]) > 2
        assert "truncated" not in found


@pytest.mark.parametrize("wrong", [0, -1, "many", True, 1.5, 10**18, [2], "9" * 5000])
async def test_a_bound_that_is_no_number_is_refused(admin, domain, wrong):
    answer = await admin.put(f"domains/{domain}/config", json={"config": {"identity": {"list_limit": wrong}}})
    assert (answer.status_code, "list_limit" in answer.text) == (403, True)
    assert (await admin.get(f"domains/{domain}/config")).status_code == 404


async def test_a_bound_beyond_64_bits_is_refused_by_name(admin, domain):
    answer = await admin.put(f"domains/{domain}/config", json={"config": {"identity": {"list_limit": 10**30}}})
    assert (answer.status_code, "list_limit" in answer.text) == (400, True)
    assert (await admin.get(f"domains/{domain}/config")).status_code == 404


async def test_options_groups_and_all_are_forgotten(admin, path):
    assert (await admin.delete(f"{path}/ldap/user")).status_code == 204
    assert (await admin.get(f"{path}/ldap/user")).status_code == 404
    assert (await admin.delete(f"{path}/ldap/user")).status_code == 404
    assert (await admin.delete(f"{path}/ldap")).status_code == 204
    assert (await admin.get(f"{path}/ldap")).status_code == 404
    assert (await admin.patch(f"{path}/ldap", json={"config": {"ldap": {"user": "x"}}})).status_code == 404
    assert (await admin.delete(path)).status_code == 204
    assert (await admin.get(path)).status_code == 404


@pytest.mark.parametrize(
    ("where", "wrong", "status"),
    [
        ("", {}, 403),
        ("", {"token": {"provider": "fernet"}}, 403),
        ("", {"ldap": {"colour": "red"}}, 403),
        ("", {"ldap": {}}, 403),
        ("", {"ldap": "red"}, 403),
        ("", [], 400),
        ("", None, 400),
        ("/ldap", {"identity": {"driver": "sql"}}, 403),
        ("/ldap", {"ldap": {"user": "x"}, "identity": {"driver": "sql"}}, 403),
        ("/ldap/user", {"url": "x"}, 403),
        ("/ldap/user", {"url": "x", "user": "y"}, 403),
        ("/ldap/colour", {"colour": "x"}, 403),
        ("/ldap/suffix", {"suffix": "x"}, 404),
    ],
)
async def test_what_cannot_be_set_is_refused_and_changes_nothing(admin, path, where, wrong, status):
    assert (await admin.patch(path + where, json={"config": wrong})).status_code == status
    assert (await admin.get(path)).json() == {"config": SHOWN}


async def test_defaults_are_shown(admin):
    whole = (await admin.get("domains/config/default")).json()["config"]
    assert set(whole) == {"identity", "ldap"}
    assert (await admin.get("domains/config/ldap/default")).json() == {"config": {"ldap": whole["ldap"]}}
    for name, value in whole["ldap"].items():
        assert (await admin.get(f"domains/config/ldap/{name}/default")).json() == {"config": {name: value}}
    for unknown in ("token/default", "ldap/colour/default", "ldap/password/default"):
        assert (await admin.get(f"domains/config/{unknown}")).status_code == 403


async def test_a_domain_takes_its_settings_with_it(cloud, admin, domain, path):
    await admin.patch(f"domains/{domain}", json={"domain": {"enabled": False}})
    assert (await admin.delete(f"domains/{domain}")).status_code == 204
    assert (await admin.get(path)).status_code == 404
    assert await cloud.db.read(domain_configs.domain_configs.list_options, domain) == []


async def test_others_may_read_the_rules_for_passwords_only(demo, path, domain):
    for method, where in (("GET", path), ("GET", f"{path}/ldap"), ("PUT", path), ("PATCH", path), ("DELETE", path)):
        body = None if method in ("GET", "DELETE") else {"config": CONFIG}
        assert (await demo.request(method, where, json=body)).status_code == 403
    assert (await demo.get("domains/config/default")).status_code == 403
    rules = (await demo.get("domains/default/config/security_compliance")).json()["config"]
    assert rules == {"security_compliance": {"password_regex": None, "password_regex_description": None}}
    one = await demo.get("domains/default/config/security_compliance/password_regex")
    assert one.json() == {"config": {"password_regex": None}}
    for where in ("default/config/security_compliance/lockout_duration", f"{domain}/config/security_compliance"):
        assert (await demo.get(f"domains/{where}")).status_code == 403


async def test_certificates_of_pki_tokens_are_gone(demo):
    for path in ("OS-SIMPLE-CERT/ca", "OS-SIMPLE-CERT/certificates"):
        assert (await demo.get(path)).status_code == 410
