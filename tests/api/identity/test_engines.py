"""Identity on the engines that are servers: what they understand differently, and revocation across two nodes."""

from pileus.kernel.config import Configuration
from pileus.kernel.runtime import Runtime
from pileus.kernel.testing import client, running
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
