"""Several processes on one database: what ends a token ends it everywhere at once; what is known is not read again."""

import asyncio
import sys

import pytest
from sqlalchemy import Engine, event

from pileus.kernel.config import Configuration
from pileus.kernel.runtime import Runtime
from pileus.kernel.testing import client, running
from pileus.services.identity.service import SERVICE
from pileus.services.identity.testing import auth_body, login

PROBE = "/identity/v3/auth/projects"
DEMO = {"project": {"name": "demo", "domain": {"name": "Default"}}}


def own_file(state):
    return f"sqlite:///{state / 'pileus.db'}"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
async def nodes(request, tmp_path):
    """Two control planes on one database."""
    database = request.getfixturevalue("postgresql_url") if request.param == "postgresql" else own_file(tmp_path)
    async with running(tmp_path, [SERVICE], database=database) as one:
        tables = {"identity": {"password_hash_rounds": 4}}
        other = Runtime(Configuration(tmp_path, tables, fake=True, database=database), [SERVICE])
        await other.start()
        try:
            yield one, other
        finally:
            await other.stop()


async def status(node, token):
    async with client(node, token) as http:
        return (await http.get(PROBE)).status_code


class Alice:
    """A user with a role on a project of a domain, all of its own."""

    def __init__(self, http, ids):
        self.http, self.ids = http, ids

    @classmethod
    async def make(cls, http):
        domain = (await http.post("domains", json={"domain": {"name": "d"}})).json()["domain"]["id"]
        body = {"project": {"name": "p", "domain_id": domain}}
        project = (await http.post("projects", json=body)).json()["project"]["id"]
        body = {"user": {"name": "alice", "password": "secret", "domain_id": domain}}
        user = (await http.post("users", json=body)).json()["user"]["id"]
        role = (await http.get("roles?name=member")).json()["roles"][0]["id"]
        ids = {"domain": domain, "project": project, "user": user, "role": role}
        assert (await http.put("projects/{project}/users/{user}/roles/{role}".format(**ids))).status_code == 204
        return cls(http, ids)

    async def log_in(self, node):
        body = auth_body("alice", "secret", {"project": {"id": self.ids["project"]}}, self.ids["domain"])
        async with client(node) as http:
            answer = await http.post("/identity/v3/auth/tokens", json=body)
        assert answer.status_code == 201, answer.text
        return answer.headers["x-subject-token"]


ENDINGS = {
    "token": lambda http, token, ids: http.delete("auth/tokens", headers={"X-Subject-Token": token}),
    "user": lambda http, token, ids: http.patch(f"users/{ids['user']}", json={"user": {"enabled": False}}),
    "user removed": lambda http, token, ids: http.delete(f"users/{ids['user']}"),
    "password": lambda http, token, ids: http.patch(f"users/{ids['user']}", json={"user": {"password": "new"}}),
    "project": lambda http, token, ids: http.patch(f"projects/{ids['project']}", json={"project": {"enabled": False}}),
    "domain": lambda http, token, ids: http.patch(f"domains/{ids['domain']}", json={"domain": {"enabled": False}}),
    "role": lambda http, token, ids: http.delete("projects/{project}/users/{user}/roles/{role}".format(**ids)),
}


@pytest.mark.parametrize("ending", ENDINGS)
async def test_what_ends_a_token_on_one_node_ends_it_on_the_other_at_once(nodes, ending):
    one, other = nodes
    async with client(one, await login(one, "admin")) as http:
        http.base_url = "http://cloud.test/identity/v3/"
        alice = await Alice.make(http)
        token = await alice.log_in(other)
        for node in (one, other, one, other):
            assert await status(node, token) == 200
        answer = await ENDINGS[ending](http, token, alice.ids)
        assert answer.is_success, answer.text
        assert [await status(other, token), await status(one, token)] == [401, 401]


async def test_a_role_given_on_one_node_counts_on_the_other_at_once(nodes):
    one, other = nodes
    async with client(one, await login(one, "admin")) as http:
        http.base_url = "http://cloud.test/identity/v3/"
        alice = await Alice.make(http)
        token = await alice.log_in(other)
        path = f"/identity/v3/users/{(await http.get('users?name=demo')).json()['users'][0]['id']}"
        async with client(other, token) as there:
            assert (await there.get(path)).status_code == 403
            ids = {**alice.ids, "role": (await http.get("roles?name=admin")).json()["roles"][0]["id"]}
            await http.put("projects/{project}/users/{user}/roles/{role}".format(**ids))
            assert (await there.get(path)).status_code == 200


REVOKE = """
import asyncio, sys
from pathlib import Path
from pileus.kernel.config import Configuration
from pileus.kernel.runtime import Runtime
from pileus.kernel.testing import client
from pileus.services.identity.service import SERVICE

async def main(state, token):
    node = Runtime(Configuration(Path(state), fake=True), [SERVICE])
    await node.start()
    async with client(node, token) as http:
        answer = await http.delete("/identity/v3/auth/tokens", headers={"X-Subject-Token": token})
    await node.stop()
    assert answer.status_code == 204, answer.text

asyncio.run(main(*sys.argv[1:]))
"""


async def test_another_process_on_the_same_file_ends_a_token_too(tmp_path):
    async with running(tmp_path, [SERVICE], database=own_file(tmp_path)) as node:
        token, kept = await login(node), await login(node, "alt_demo")
        assert [await status(node, token), await status(node, token), await status(node, kept)] == [200, 200, 200]
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", REVOKE, str(tmp_path), token)
        assert await asyncio.wait_for(process.wait(), 60) == 0
        assert [await status(node, token), await status(node, kept)] == [401, 200]


async def test_a_token_seen_before_is_judged_without_the_database(tmp_path):
    statements = []

    def record(connection, cursor, statement, *_):
        statements.append(statement)

    async with running(tmp_path, [SERVICE], database=own_file(tmp_path)) as node:
        admin, token = await login(node, "admin"), await login(node)
        async with client(node, admin, **{"X-Subject-Token": token}) as http:
            assert (await http.get("/identity/v3/auth/tokens")).status_code == 200
            event.listen(Engine, "before_cursor_execute", record)
            try:
                for _ in range(50):  # the cloud has work of its own, such as the audit of these log-ins
                    statements.clear()
                    assert (await http.get("/identity/v3/auth/tokens")).json()["token"]["user"]["name"] == "demo"
                    if not statements:
                        break
                    await asyncio.sleep(0.1)
                assert statements == []
                assert (await http.delete("/identity/v3/auth/tokens")).status_code == 204
                assert (await http.get("/identity/v3/auth/tokens")).status_code == 404
            finally:
                event.remove(Engine, "before_cursor_execute", record)
    assert statements
