"""What somebody lends, lends no more than that: trusts, application credentials, access keys, OAuth."""

import asyncio
from typing import Any

import httpx

from pileus.kernel.testing import client
from tests.api.identity.test_access_keys import signed_v2
from tests.attack.escalate import attack, by_password, by_token, log_in, ok, project_token, refused, role_id, user
from tests.attack.world import V3, World

TRUSTS = f"{V3}/OS-TRUST/trusts"


def trust_body(world: World, **more: Any) -> dict[str, Any]:
    tenant = world.attacker
    body = {
        "trustor_user_id": tenant.users["member"], "trustee_user_id": tenant.users["reader"],
        "project_id": tenant.project, "impersonation": True, "roles": [{"name": "member"}],
    }  # fmt: skip
    return {"trust": {**body, **more}}


async def trusted(world: World, trust: str, persona: str = "reader") -> httpx.Response:
    """Log in by a trust."""
    return await log_in(world, by_password(world.attacker.users[persona]), {"OS-TRUST:trust": {"id": trust}})


@attack("trusts", "lend a role that one has not, a project or a user that are not one's own")
async def lend_more(world: World) -> None:
    victim = world.victim
    async with world.as_(world.attacker, "member") as http:
        await ok(http, "POST", TRUSTS, trust_body(world))
        for change in (
            {"roles": [{"name": "admin"}]},
            {"roles": [{"name": "manager"}]},
            {"roles": [{"id": await role_id(world, "service")}]},
            {"roles": [{"id": victim.owned["role"][0]}]},
            {"trustor_user_id": victim.users["member"]},
            {"trustor_user_id": world.attacker.users["manager"]},
            {"project_id": victim.project},
            {"remaining_uses": -1},
            {"expires_at": "2001-01-01T00:00:00.000000Z"},
        ):
            await refused(http, "POST", TRUSTS, trust_body(world, **change))


@attack("trusts", "use a trust that is somebody else's, more often than it says, or after its role or itself is gone")
async def use_of_others(world: World) -> None:
    async with world.as_(world.attacker, "member") as http:
        trust = (await ok(http, "POST", TRUSTS, trust_body(world, remaining_uses=1))).json()["trust"]["id"]
        assert (await trusted(world, trust, "manager")).status_code in (401, 403)
        assert (await trusted(world, world.victim.owned["trust"][0])).status_code in (401, 403, 404)
        answers = await asyncio.gather(*(trusted(world, trust) for _ in range(5)))
        assert sorted(answer.status_code for answer in answers)[:2] != [201, 201], "a trust for one use was used twice"
        assert any(answer.status_code == 201 for answer in answers)
        again = (await ok(http, "POST", TRUSTS, trust_body(world))).json()["trust"]["id"]
        answer = await trusted(world, again)
        assert answer.status_code == 201, answer.text
        await ok(http, "DELETE", f"{TRUSTS}/{again}")
        async with client(world.runtime, answer.headers["x-subject-token"]) as lent:
            await refused(lent, "GET", f"{V3}/auth/projects")


@attack("trusts", "turn what was lent for a while into something that stays, or into more")
async def keep_what_was_lent(world: World) -> None:
    tenant = world.attacker
    async with world.as_(tenant, "member") as http:
        trust = (await ok(http, "POST", TRUSTS, trust_body(world))).json()["trust"]["id"]
        token = (await trusted(world, trust)).headers["x-subject-token"]
        me = tenant.users["member"]
        async with client(world.runtime, token) as lent:
            await ok(lent, "GET", "/networking/v2.0/networks")
            await refused(lent, "POST", TRUSTS, trust_body(world))
            await refused(lent, "POST", TRUSTS, trust_body(world, trustor_user_id=tenant.users["reader"]))
            credential = {"application_credential": {"name": "kept"}}
            await refused(lent, "POST", f"{V3}/users/{me}/application_credentials", credential)
            await refused(lent, "GET", f"{V3}/users/{me}/application_credentials")
            body = {"original_password": "guess", "password": "another-passphrase"}
            await refused(lent, "POST", f"{V3}/users/{me}/password", {"user": body})
        for scope in ({"project": {"id": tenant.project}}, {"domain": {"id": tenant.domain}}, None):
            assert (await log_in(world, by_token(token), scope)).status_code in (401, 403)


@attack("trusts", "have an access key made by what was lent outlive the trust")
async def key_of_a_trust(world: World) -> None:
    tenant = world.attacker
    async with world.as_(tenant, "member") as http:
        trust = (await ok(http, "POST", TRUSTS, trust_body(world, roles=[{"name": "reader"}]))).json()["trust"]["id"]
        async with client(world.runtime, (await trusted(world, trust)).headers["x-subject-token"]) as lent:
            path = f"{V3}/users/{tenant.users['member']}/credentials/OS-EC2"
            made = await lent.post(path, json={"tenant_id": tenant.project})
        if not made.is_success:
            assert made.status_code == 403, made.text
            return
        key = made.json()["credential"]
        answer = await world.admin.post(f"{V3}/ec2tokens", json={"credentials": signed_v2(key)})
        if answer.is_success:
            names = {role["name"] for role in answer.json()["token"]["roles"]}
            assert names == {"reader"}, f"a key of a trust for reading gives {names}"
        await ok(http, "DELETE", f"{TRUSTS}/{trust}")
        await refused(world.admin, "POST", f"{V3}/ec2tokens", {"credentials": signed_v2(key)})


async def credential(world: World, persona: str = "member", **more: Any) -> tuple[dict[str, Any], httpx.AsyncClient]:
    """Make an application credential and return it with a client that is logged in by it."""
    tenant = world.attacker
    async with world.as_(tenant, persona) as http:
        path = f"{V3}/users/{tenant.users[persona]}/application_credentials"
        made = await ok(http, "POST", path, {"application_credential": {"name": f"c{id(more)}", **more}})
    found = made.json()["application_credential"]
    return found, client(world.runtime, (await by_credential(world, found)).headers["x-subject-token"])


async def by_credential(world: World, found: dict[str, Any], scope: Any = None) -> httpx.Response:
    proof = {"id": found["id"], "secret": found["secret"]}
    return await log_in(world, {"methods": ["application_credential"], "application_credential": proof}, scope)


@attack("application credentials", "with a restricted one make others, trusts, keys, or get another scope")
async def restricted(world: World) -> None:
    tenant = world.attacker
    found, http = await credential(world, name="restricted")
    me = tenant.users["member"]
    async with http:
        await ok(http, "GET", "/networking/v2.0/networks")
        path = f"{V3}/users/{me}/application_credentials"
        await refused(http, "POST", path, {"application_credential": {"name": "another"}})
        await refused(http, "DELETE", f"{path}/{found['id']}")
        await refused(http, "POST", TRUSTS, trust_body(world))
        token = http.headers["X-Auth-Token"]
    for scope in (
        {"project": {"id": world.victim.project}},
        {"domain": {"id": tenant.domain}},
        {"system": {"all": True}},
    ):
        assert (await by_credential(world, found, scope)).status_code in (400, 401, 403)
        assert (await log_in(world, by_token(token), scope)).status_code in (400, 401, 403)


@attack("application credentials", "give one more roles than its maker, or than the one it was made with, has")
async def more_roles(world: World) -> None:
    tenant = world.attacker
    path = f"{V3}/users/{tenant.users['member']}/application_credentials"
    async with world.as_(tenant, "member") as http:
        for role in ("admin", "manager", "service"):
            body = {"name": f"with {role}", "roles": [{"name": role}]}
            await refused(http, "POST", path, {"application_credential": body})
    _, http = await credential(world, name="few", roles=[{"name": "reader"}], unrestricted=True)
    async with http:
        await ok(http, "POST", path, {"application_credential": {"name": "reads", "roles": [{"name": "reader"}]}})
        await refused(http, "POST", path, {"application_credential": {"name": "more", "roles": [{"name": "member"}]}})
        made = await http.post(path, json={"application_credential": {"name": "as much"}})
        roles = {role["name"] for role in made.json()["application_credential"]["roles"]} if made.is_success else set()
        assert roles <= {"reader"}, f"one that reads made one with {roles}"


@attack("application credentials", "make, read or remove somebody else's")
async def of_others(world: World) -> None:
    victim = world.victim
    async with world.as_(world.attacker, "manager") as http:
        for owner in (victim.users["manager"], world.attacker.users["member"]):
            path = f"{V3}/users/{owner}/application_credentials"
            await refused(http, "POST", path, {"application_credential": {"name": "x"}})
            await refused(http, "GET", path)
            await refused(http, "DELETE", f"{path}/{victim.owned['application_credential'][0]}")
        own = f"{V3}/users/{world.attacker.users['manager']}"
        await refused(http, "GET", f"{own}/application_credentials/{victim.owned['application_credential'][0]}")
        await refused(http, "GET", f"{own}/access_rules/{victim.owned['access_rule'][0]}")
        rule = {"name": "rule", "access_rules": [{"id": victim.owned["access_rule"][0]}]}
        await refused(http, "POST", f"{own}/application_credentials", {"application_credential": rule})


@attack("application credentials", "go round access rules by other paths, methods, services and headers")
async def round_rules(world: World) -> None:
    rules = [{"service": "compute", "path": "/v2.1/servers", "method": "GET"}]
    _, http = await credential(world, name="rules", access_rules=rules)
    async with http:
        await ok(http, "GET", "/compute/v2.1/servers")
        for path in (
            "/compute/v2.1/flavors", "/compute/v2.1/servers/detail", "/compute/v2.1/servers/../flavors",
            "/compute/v2.1/servers%2f..%2fflavors", "/compute/v2.1//servers/detail", "/volume/v3/volumes",
            "/networking/v2.0/networks", "/compute/v2.1/servers/%2e%2e/flavors", "/identity/v3/users",
            f"{V3}/users/{world.attacker.users['member']}/application_credentials", "/compute/v2.1/servers;/detail",
        ):  # fmt: skip
            await refused(http, "GET", path)
        await refused(http, "POST", "/compute/v2.1/servers", {"server": {}}, **{"X-HTTP-Method-Override": "GET"})
        await refused(http, "GET", "/compute/v2.1/flavors", **{"X-Original-URL": "/compute/v2.1/servers"})
        await refused(http, "GET", "/compute/v2.1/flavors", **{"OpenStack-Identity-Access-Rules": "0"})


@attack("application credentials", "use one after the role it rests on is gone")
async def after_the_role(world: World) -> None:
    one = await user(world, "leaver", "member")
    token = await project_token(world, one)
    path = f"{V3}/users/{one}/application_credentials"
    async with client(world.runtime, token) as http:
        made = await ok(http, "POST", path, {"application_credential": {"name": "later"}})
    found = made.json()["application_credential"]
    assert (await by_credential(world, found)).status_code == 201
    role = await role_id(world, "member")
    await ok(world.admin, "DELETE", f"{V3}/projects/{world.attacker.project}/users/{one}/roles/{role}")
    assert (await by_credential(world, found)).status_code in (401, 404)


@attack("access keys", "make one for another project or user, or turn one's own into one (CVE-2020-12691)")
async def keys_of_others(world: World) -> None:
    tenant, victim = world.attacker, world.victim
    me = tenant.users["member"]
    async with world.as_(tenant, "member") as http:
        made = await ok(http, "POST", f"{V3}/users/{me}/credentials/OS-EC2", {"tenant_id": tenant.project})
        key = made.json()["credential"]
        await refused(http, "POST", f"{V3}/users/{me}/credentials/OS-EC2", {"tenant_id": victim.project})
        other = f"{V3}/users/{victim.users['manager']}/credentials/OS-EC2"
        await refused(http, "POST", other, {"tenant_id": victim.project})
        await refused(http, "GET", f"{other}/{victim.owned['access'][0]}")
        rows = (await ok(http, "GET", f"{V3}/credentials?type=ec2")).json()["credentials"]
        (row,) = [row for row in rows if key["access"] in row["blob"]]
        for change in (
            {"user_id": victim.users["manager"]}, {"user_id": tenant.users["manager"]},
            {"user_id": victim.users["manager"], "project_id": victim.project},
        ):  # fmt: skip
            answer = await http.patch(f"{V3}/credentials/{row['id']}", json={"credential": change})
            assert answer.status_code in (400, 403, 404), f"{change}: {answer.status_code} {answer.text}"
        body = {"type": "ec2", "blob": '{"access": "a", "secret": "s"}', "project_id": victim.project}
        await refused(http, "POST", f"{V3}/credentials", {"credential": {**body, "user_id": victim.users["manager"]}})
    answer = await ok(world.admin, "POST", f"{V3}/ec2tokens", {"credentials": signed_v2(key)})
    assert answer.json()["token"]["project"]["id"] == tenant.project
    async with world.as_(tenant, "member") as http:
        await http.patch(f"{V3}/credentials/{row['id']}", json={"credential": {"project_id": victim.project}})
    answer = await world.admin.post(f"{V3}/ec2tokens", json={"credentials": signed_v2(key)})
    assert not answer.is_success or answer.json()["token"]["project"]["id"] == tenant.project
    async with world.as_(tenant, "member") as http:
        for one in (await ok(http, "GET", f"{V3}/credentials?type=ec2")).json()["credentials"]:
            await ok(http, "DELETE", f"{V3}/credentials/{one['id']}")


@attack("access keys", "ask for tokens of signatures without being a service (CVE-2025-65073)")
async def signatures_for_all(world: World) -> None:
    tenant = world.attacker
    async with world.as_(tenant, "member") as http:
        path = f"{V3}/users/{tenant.users['member']}/credentials/OS-EC2"
        key = (await ok(http, "POST", path, {"tenant_id": tenant.project})).json()["credential"]
        await ok(world.admin, "POST", f"{V3}/ec2tokens", {"credentials": signed_v2(key)})
        for path in (f"{V3}/ec2tokens", f"{V3}/s3tokens"):
            async with client(world.runtime) as nobody:
                await refused(nobody, "POST", path, {"credentials": signed_v2(key)})
            for persona in ("reader", "member", "manager", "domain admin"):
                async with world.as_(tenant, persona) as one:
                    await refused(one, "POST", path, {"credentials": signed_v2(key)})


@attack("credentials", "read, write or own somebody else's, such as the secret of a second factor")
async def credentials_of_others(world: World) -> None:
    victim, one = world.victim, world.victim.owned["credential"][0]
    for persona in ("member", "manager", "domain admin"):
        async with world.as_(world.attacker, persona) as http:
            await ok(http, "GET", f"{V3}/credentials")
            await refused(http, "GET", f"{V3}/credentials/{one}")
            await refused(http, "PATCH", f"{V3}/credentials/{one}", {"credential": {"blob": "x"}})
            await refused(http, "DELETE", f"{V3}/credentials/{one}")
            body = {"type": "totp", "blob": "GEZDGNBVGY3TQOJQ", "user_id": victim.users["manager"]}
            await refused(http, "POST", f"{V3}/credentials", {"credential": body})
            found = (await ok(http, "GET", f"{V3}/credentials?user_id={victim.users['manager']}")).json()
            assert found["credentials"] == []
