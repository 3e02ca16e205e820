"""Identity on the engines that are servers: what they understand differently, and revocation across two nodes."""

from pileus.kernel.config import Configuration
from pileus.kernel.context import ANONYMOUS, Context
from pileus.kernel.runtime import Runtime
from pileus.kernel.testing import client, running
from pileus.services.identity.app.federation.arrival import arrive
from pileus.services.identity.app.mirror import mirror
from pileus.services.identity.drivers.directory import Everybody, Person, Team
from pileus.services.identity.service import SERVICE
from pileus.services.identity.testing import login


async def test_filters_and_pages(tmp_path, server_url):
    async with (
        running(tmp_path, [SERVICE], database=server_url) as cloud,
        client(cloud, await login(cloud, "admin")) as http,
    ):
        http.base_url = "http://cloud.test/identity/v3/"
        for query, names in (
            ("name__icontains=DEMO", {"demo", "alt_demo"}),
            ("name__startswith=a&enabled=true", {"admin", "alt_demo"}),
            ("name__contains=%25", set()),
        ):
            assert {row["name"] for row in (await http.get(f"users?{query}")).json()["users"]} == names
        first = (await http.get("users?limit=2")).json()
        assert len((await http.get(first["links"]["next"])).json()["users"]) == 1
        assert (await http.post("users", json={"user": {"name": "demo"}})).status_code == 409
        effective = (await http.get("role_assignments?effective&include_names")).json()["role_assignments"]
        assert "reader" in {entry["role"]["name"] for entry in effective}


async def test_a_token_revoked_on_one_node_is_dead_on_the_other_at_once(tmp_path, server_url):
    async with running(tmp_path, [SERVICE], database=server_url) as one:
        other = Runtime(Configuration(tmp_path, database=server_url, fake=True), [SERVICE])
        await other.start()
        try:
            token = await login(one)
            async with client(one, token) as here, client(other, token) as there:
                path = "/identity/v3/auth/projects"
                assert (await here.get(path)).status_code == (await there.get(path)).status_code == 200
                revoked = await here.delete("/identity/v3/auth/tokens", headers={"X-Subject-Token": token})
                assert revoked.status_code == 204
                assert (await here.get(path)).status_code == (await there.get(path)).status_code == 401
        finally:
            await other.stop()


async def test_people_whom_others_keep_come_and_go(tmp_path, server_url):
    rules = [{"local": [{"user": {"name": "{0}"}, "group": {"id": "{1}"}}], "remote": [{"type": "a"}, {"type": "b"}]}]
    async with (
        running(tmp_path, [SERVICE], database=server_url) as cloud,
        client(cloud, await login(cloud, "admin")) as http,
    ):
        http.base_url = "http://cloud.test/identity/v3/"
        group = (await http.post("groups", json={"group": {"name": "staff"}})).json()["group"]["id"]
        base = "OS-FEDERATION/identity_providers/corp"
        provider = {"enabled": True, "remote_ids": ["Zoë", "zoe"]}
        assert (await http.put(base, json={"identity_provider": provider})).status_code == 201
        await http.put("OS-FEDERATION/mappings/people", json={"mapping": {"rules": rules}})
        await http.put(f"{base}/protocols/saml2", json={"protocol": {"mapping_id": "people"}})
        for name in ("Zoë", "zoe", "Zoë"):  # alike, but not the same
            said = {"a": [name], "b": [group]}
            text, _ = await arrive(cloud, Context(ANONYMOUS, cloud.policy), "corp", "saml2", name, said)
            async with client(cloud, text) as theirs:
                assert (await theirs.get("/identity/v3/auth/projects")).status_code == 200
        members = (await http.get(f"groups/{group}/users")).json()["users"]
        assert sorted(row["name"] for row in members) == ["Zoë", "zoe"]
        domain = (await http.post("domains", json={"domain": {"name": "ldap"}})).json()["domain"]["id"]
        people = [Person(name, f"uid={name}", name, True, {}) for name in ("jane", "john")]
        everybody = Everybody(people, [Team("t", "team", "", frozenset({"uid=jane"}))])
        assert await cloud.db.write(lambda tx: mirror(tx, None, domain, everybody))
        assert not await cloud.db.read(lambda tx: mirror(tx, None, domain, everybody, writes=False))
        assert await cloud.db.write(lambda tx: mirror(tx, None, domain, Everybody(people[1:], [])))
        listed = (await http.get("users", params={"domain_id": domain})).json()["users"]
        assert {row["name"]: row["enabled"] for row in listed} == {"jane": False, "john": True}
        assert (await http.delete(base)).status_code == 204
        assert (await http.get(f"groups/{group}/users")).json()["users"] == []
