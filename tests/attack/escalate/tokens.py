"""Tokens: forged, old, lent, exchanged; and headers that say who somebody is."""

from pileus.kernel.testing import client
from tests.attack.escalate import attack, by_password, by_token, log_in, ok, project_token, refused, role_id, user
from tests.attack.world import V3, World


@attack("tokens", "exchange one for another scope, a longer life, or after it was revoked")
async def exchange(world: World) -> None:
    tenant, victim = world.attacker, world.victim
    first = await log_in(world, by_password(tenant.users["member"]), {"project": {"id": tenant.project}})
    token = first.headers["x-subject-token"]
    second = await log_in(world, by_token(token), {"project": {"id": tenant.project}})
    assert second.status_code == 201, second.text
    ends = [one.json()["token"]["expires_at"] for one in (first, second)]
    assert ends[1] <= ends[0], ends
    roles = {role["name"] for role in second.json()["token"]["roles"]}
    assert roles == {"member", "reader"}, roles
    for scope in (
        {"project": {"id": victim.project}}, {"domain": {"id": tenant.domain}}, {"domain": {"id": victim.domain}},
        {"system": {"all": True}}, {"OS-TRUST:trust": {"id": victim.owned["trust"][0]}},
    ):  # fmt: skip
        answer = await log_in(world, by_token(token), scope)
        assert answer.status_code in (401, 403, 404), f"{scope}: {answer.status_code} {answer.text[:300]}"
    async with client(world.runtime, token) as http:
        await ok(http, "DELETE", f"{V3}/auth/tokens", **{"X-Subject-Token": token})
        await refused(http, "GET", f"{V3}/auth/projects")
    answer = await log_in(world, by_token(token), {"project": {"id": tenant.project}})
    assert answer.status_code in (401, 404), answer.text


@attack("tokens", "go on with one after a role, a password, the user, the project or the domain is gone")
async def after_the_end(world: World) -> None:
    tenant = world.attacker
    member = await role_id(world, "member")
    one = await user(world, "goer", "member")

    async def gone(method: str, path: str, body: object = None) -> None:
        token = await project_token(world, one)
        async with client(world.runtime, token) as http:
            await ok(http, "GET", "/networking/v2.0/networks")
            await ok(world.admin, method, f"{V3}/{path}", body)
            answer = await http.get("/networking/v2.0/networks")
            assert answer.status_code == 401, f"after {method} {path}: {answer.status_code}"

    await gone("DELETE", f"projects/{tenant.project}/users/{one}/roles/{member}")
    await ok(world.admin, "PUT", f"{V3}/projects/{tenant.project}/users/{one}/roles/{member}")
    await gone("PATCH", f"users/{one}", {"user": {"enabled": False}})
    await ok(world.admin, "PATCH", f"{V3}/users/{one}", {"user": {"enabled": True}})
    for kind, id in (("project", tenant.project), ("domain", tenant.domain)):
        await gone("PATCH", f"{kind}s/{id}", {kind: {"enabled": False}})
        assert (await log_in(world, by_password(one), {"project": {"id": tenant.project}})).status_code == 401
        await ok(world.admin, "PATCH", f"{V3}/{kind}s/{id}", {kind: {"enabled": True}})
    for persona in ("reader", "member", "manager", "domain admin"):
        tenant.tokens[persona] = await world.token(tenant, persona)


@attack("tokens", "change a byte of one, or use another's to be told of, or to revoke")
async def forge(world: World) -> None:
    tenant, victim = world.attacker, world.victim
    token = tenant.tokens["member"]
    async with client(world.runtime, token) as http:
        await ok(http, "GET", "/networking/v2.0/networks")
    for at in range(5, len(token), max(1, len(token) // 60)):
        other = "A" if token[at] != "A" else "B"
        async with client(world.runtime, token[:at] + other + token[at + 1 :]) as http:
            answer = await http.get("/networking/v2.0/networks")
            assert answer.status_code == 401, f"byte {at}: {answer.status_code}"
    for spoilt in ("", " ", token[:-1], token + "A", token[::-1], "gAAAA", "null", "admin"):
        async with client(world.runtime, spoilt) as http:
            await refused(http, "GET", "/networking/v2.0/networks")
    for persona in ("reader", "member", "manager", "domain admin"):
        async with world.as_(tenant, persona) as http:
            await refused(http, "GET", f"{V3}/auth/tokens", **{"X-Subject-Token": victim.tokens["member"]})
            await refused(http, "DELETE", f"{V3}/auth/tokens", **{"X-Subject-Token": victim.tokens["member"]})
    async with client(world.runtime, victim.tokens["member"]) as http:
        await ok(http, "GET", "/networking/v2.0/networks")


CLAIMS = {
    "X-Roles": "admin", "X-Role": "admin", "X-Identity-Status": "Confirmed", "X-User-Name": "admin",
    "X-Is-Admin-Project": "True", "X-Service-Roles": "service,admin", "X-Service-Identity-Status": "Confirmed",
    "REMOTE_USER": "admin", "X-Remote-User": "admin", "X-Auth-User": "admin", "X-Auth-Key": "admin",
    "X-Service-Catalog": "[]", "OpenStack-System-Scope": "all", "X-Forwarded-User": "admin",
    "SSL_CLIENT_VERIFY": "SUCCESS",
    "X-Instance-ID": "x", "X-SSL-Client-Cert": "x", "Mellon-Nameid": "admin", "OIDC-sub": "admin",
}  # fmt: skip
"""What middleware of upstream's says of somebody, to services that believe it."""


@attack("tokens", "say by headers who one is, as a proxy or upstream's middleware would")
async def claim(world: World) -> None:
    tenant, victim = world.attacker, world.victim
    heads = {
        **CLAIMS, "X-User-Id": victim.users["member"], "X-Project-Id": victim.project, "X-Tenant-Id": victim.project,
        "X-Domain-Id": victim.domain, "X-Project-Domain-Id": victim.domain,
    }  # fmt: skip
    async with client(world.runtime) as http:
        await refused(http, "GET", "/networking/v2.0/networks", **heads)
        await refused(http, "GET", f"{V3}/users", **heads)
        await refused(http, "POST", f"{V3}/auth/tokens", {"auth": {"identity": {"methods": ["external"]}}}, **heads)
    async with client(world.runtime, tenant.tokens["member"]) as http:
        await ok(http, "GET", "/networking/v2.0/networks")
        await refused(http, "GET", f"{V3}/users", **heads)
        await refused(http, "GET", "/compute/v2.1/os-hypervisors", **heads)
        rows = await ok(http, "GET", "/compute/v2.1/servers", **heads)
        assert victim.owned["server"][0] not in rows.text


@attack("tokens", "send one's own as that of a service")
async def as_a_service(world: World) -> None:
    tenant = world.attacker
    old = await project_token(world, tenant.users["reader"])
    async with client(world.runtime, old) as http:
        await ok(http, "DELETE", f"{V3}/auth/tokens", **{"X-Subject-Token": old})
        await refused(http, "GET", "/networking/v2.0/networks", **{"X-Service-Token": tenant.tokens["manager"]})
    async with client(world.runtime, tenant.tokens["member"]) as http:
        heads = {"X-Service-Token": tenant.tokens["manager"]}
        events = {"events": [{"name": "network-changed", "server_uuid": tenant.owned["server"][0]}]}
        await refused(http, "POST", "/compute/v2.1/os-server-external-events", events, **heads)
        path = f"/volume/v3/attachments/{tenant.owned['attachment'][0]}"
        await refused(http, "DELETE", path, **heads)
        await refused(http, "POST", f"{V3}/ec2tokens", {"credentials": {}}, **heads)
