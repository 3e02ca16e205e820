"""Roles, groups, domains and projects: nobody gives oneself what one has not."""

from pileus.kernel.testing import client
from tests.attack.escalate import attack, by_password, log_in, ok, project_token, refused, role_id, user
from tests.attack.world import PASSWORD, V3, World

GRANTING = ("reader", "member", "manager", "admin", "service")


@attack("roles", "give oneself, one's colleagues or one's group a role, in one's own project or another's")
async def grant(world: World) -> None:
    tenant, victim = world.attacker, world.victim
    for persona in ("reader", "member", "manager"):
        async with world.as_(tenant, persona) as http:
            await ok(http, "GET", f"{V3}/auth/projects")
            for role in GRANTING:
                id = await role_id(world, role)
                for where in (
                    f"projects/{tenant.project}", f"projects/{victim.project}", f"domains/{tenant.domain}", "system",
                    f"OS-INHERIT/domains/{tenant.domain}",
                ):  # fmt: skip
                    tail = "/inherited_to_projects" if "INHERIT" in where else ""
                    await refused(http, "PUT", f"{V3}/{where}/users/{tenant.users[persona]}/roles/{id}{tail}")
                    await refused(http, "PUT", f"{V3}/{where}/groups/{tenant.owned['group'][0]}/roles/{id}{tail}")


@attack("roles", "as the administrator of a domain become the cloud's, by a grant, a group or an inherited role")
async def domain_admin_grants(world: World) -> None:
    tenant, victim = world.attacker, world.victim
    me, group = tenant.users["domain admin"], tenant.owned["group"][0]
    admin, member = await role_id(world, "admin"), await role_id(world, "member")
    async with world.as_(tenant, "domain admin") as http:
        await ok(http, "PUT", f"{V3}/projects/{tenant.project}/users/{me}/roles/{member}")
        await ok(http, "PUT", f"{V3}/groups/{group}/users/{me}")
        for who in (f"users/{me}", f"groups/{group}"):
            for where in (f"projects/{tenant.project}", f"domains/{tenant.domain}", "system"):
                await refused(http, "PUT", f"{V3}/{where}/{who}/roles/{admin}")
            for where in (f"projects/{tenant.project}", f"domains/{tenant.domain}"):
                await refused(http, "PUT", f"{V3}/OS-INHERIT/{where}/{who}/roles/{admin}/inherited_to_projects")
            for where in (f"projects/{victim.project}", f"domains/{victim.domain}", "projects/nowhere", "system"):
                await refused(http, "PUT", f"{V3}/{where}/{who}/roles/{member}")
        await refused(http, "PUT", f"{V3}/groups/{victim.owned['group'][0]}/users/{me}")
        await refused(http, "PUT", f"{V3}/groups/{group}/users/{victim.users['member']}")
        await refused(http, "PUT", f"{V3}/projects/{tenant.project}/users/{victim.users['member']}/roles/{member}")
        for scope in (
            {"system": {"all": True}},
            {"domain": {"id": victim.domain}},
            {"project": {"id": victim.project}},
        ):
            assert (await log_in(world, by_password(me), scope)).status_code in (401, 403)


@attack("roles", "have a role imply another, or make one that is called as one that counts")
async def implied_and_named(world: World) -> None:
    tenant = world.attacker
    admin, member = await role_id(world, "admin"), await role_id(world, "member")
    own = tenant.owned["role"][0]
    one = await user(world, "namesake")
    async with world.as_(tenant, "domain admin") as http:
        for prior, implied in ((member, admin), (own, admin), (own, member), (member, own)):
            await refused(http, "PUT", f"{V3}/roles/{prior}/implies/{implied}")
        await refused(http, "PATCH", f"{V3}/roles/{member}", {"role": {"name": "admin2"}})
        await refused(http, "DELETE", f"{V3}/roles/{member}")
        await refused(http, "POST", f"{V3}/roles", {"role": {"name": "administrator"}})
    made = await world.admin.post(f"{V3}/roles", json={"role": {"name": "admin", "domain_id": tenant.domain}})
    role = made.json()["role"]["id"]
    async with world.as_(tenant, "domain admin") as http:
        granted = await http.put(f"{V3}/projects/{tenant.project}/users/{one}/roles/{role}")
        assert granted.status_code in (204, 403)
    await world.admin.put(f"{V3}/projects/{tenant.project}/users/{one}/roles/{role}")
    answer = await log_in(world, by_password(one), {"project": {"id": tenant.project}})
    if answer.is_success:
        assert "admin" not in {role["name"] for role in answer.json()["token"]["roles"]}
        async with client(world.runtime, answer.headers["x-subject-token"]) as http:
            await refused(http, "GET", f"{V3}/users")
            await refused(http, "GET", "/compute/v2.1/os-hypervisors")


@attack("domains", "move users, projects or groups to where one is not, or make a domain of a project")
async def move(world: World) -> None:
    tenant, victim = world.attacker, world.victim
    async with world.as_(tenant, "domain admin") as http:
        await ok(http, "PATCH", f"{V3}/projects/{tenant.project}", {"project": {"description": "x"}})
        for body in (
            {"name": "x", "domain_id": victim.domain}, {"name": "x", "domain_id": "default"},
            {"name": "x", "domain_id": tenant.domain, "parent_id": victim.project},
            {"name": "x", "is_domain": True}, {"name": "x", "domain_id": tenant.domain, "is_domain": True},
        ):  # fmt: skip
            await refused(http, "POST", f"{V3}/projects", {"project": body})
        for change in ({"domain_id": victim.domain}, {"parent_id": victim.project}, {"is_domain": True}):
            await refused(http, "PATCH", f"{V3}/projects/{tenant.project}", {"project": change})
        await refused(http, "PATCH", f"{V3}/users/{tenant.users['member']}", {"user": {"domain_id": victim.domain}})
        await refused(http, "PATCH", f"{V3}/groups/{tenant.owned['group'][0]}", {"group": {"domain_id": victim.domain}})
        await refused(http, "POST", f"{V3}/domains", {"domain": {"name": "mine"}})
        await refused(http, "PATCH", f"{V3}/domains/{victim.domain}", {"domain": {"enabled": False}})
        await refused(http, "PUT", f"{V3}/domains/{victim.domain}/config", {"config": {"ldap": {"url": "ldap://x"}}})


@attack("domains", "log in to another by federation: a provider, a mapping or a service provider of one's own")
async def federate(world: World) -> None:
    tenant = world.attacker
    base = f"{V3}/OS-FEDERATION"
    rules = {"mapping": {"rules": [{"local": [{"group": {"id": "x"}}], "remote": [{"type": "x"}]}]}}
    for persona in ("manager", "domain admin"):
        async with world.as_(tenant, persona) as http:
            await ok(http, "GET", f"{base}/projects")
            await refused(http, "PUT", f"{base}/identity_providers/mine", {"identity_provider": {}})
            await refused(http, "PUT", f"{base}/mappings/mine", rules)
            await refused(http, "PATCH", f"{base}/mappings/{world.victim.owned['mapping'][0]}", rules)
            body = {"service_provider": {"auth_url": "https://x.example/", "sp_url": "https://x.example/"}}
            await refused(http, "PUT", f"{base}/service_providers/mine", body)


@attack("users", "change oneself: another default project or domain, options that lift rules, another id")
async def change_oneself(world: World) -> None:
    tenant, victim = world.attacker, world.victim
    me = tenant.users["member"]
    async with world.as_(tenant, "member") as http:
        await ok(http, "GET", f"{V3}/users/{me}")
        for change in (
            {"domain_id": victim.domain}, {"default_project_id": victim.project}, {"enabled": True},
            {"options": {"multi_factor_auth_enabled": False}}, {"options": {"ignore_lockout_failure_attempts": True}},
            {"password": "another-passphrase"}, {"id": victim.users["member"]}, {"name": "admin"},
        ):  # fmt: skip
            await refused(http, "PATCH", f"{V3}/users/{me}", {"user": change})
        for other in (victim.users["member"], tenant.users["manager"]):
            body = {"original_password": "guess", "password": "another-passphrase"}
            await refused(http, "POST", f"{V3}/users/{other}/password", {"user": body})
    async with world.as_(tenant, "domain admin") as http:
        body = {"name": "twin", "id": victim.users["member"], "password": PASSWORD, "domain_id": tenant.domain}
        answer = await http.post(f"{V3}/users", json={"user": body})
        assert not answer.is_success or answer.json()["user"]["id"] != victim.users["member"]
        change = {"default_project_id": victim.project}
        await http.patch(f"{V3}/users/{me}", json={"user": change})
    answer = await log_in(world, by_password(me))
    assert answer.json()["token"].get("project", {}).get("id") != victim.project
    back = {"user": {"default_project_id": tenant.project}}
    await ok(world.admin, "PATCH", f"{V3}/users/{me}", back)


@attack("users", "be taken for a user or a project of the same name in another domain")
async def namesakes(world: World) -> None:
    tenant = world.attacker
    one = await user(world, "admin")
    async with world.as_(tenant, "domain admin") as http:
        body = {"name": "admin", "domain_id": tenant.domain}
        project = (await ok(http, "POST", f"{V3}/projects", {"project": body})).json()["project"]["id"]
        await ok(http, "PUT", f"{V3}/projects/{project}/users/{one}/roles/{await role_id(world, 'manager')}")
    token = await project_token(world, one, project)
    async with client(world.runtime, token) as http:
        await refused(http, "GET", f"{V3}/users")
        await refused(http, "GET", "/compute/v2.1/os-hypervisors")
        await refused(http, "GET", f"/object-store/v1/AUTH_{world.victim.project}")
    by_name = {"name": "admin", "password": PASSWORD, "domain": {"id": "default"}}
    answer = await log_in(world, {"methods": ["password"], "password": {"user": by_name}})
    assert answer.status_code == 401


@attack("limits", "raise one's own quota or lower another's")
async def quotas(world: World) -> None:
    tenant, victim = world.attacker, world.victim
    own = {"limits": [{"service_id": "x", "resource_name": "y", "resource_limit": 9, "project_id": tenant.project}]}
    for persona in ("member", "manager", "domain admin"):
        async with world.as_(tenant, persona) as http:
            for project in (tenant.project, victim.project):
                await refused(http, "PUT", f"/compute/v2.1/os-quota-sets/{project}", {"quota_set": {"cores": 999}})
                await refused(http, "DELETE", f"/compute/v2.1/os-quota-sets/{project}")
                await refused(http, "PUT", f"/volume/v3/os-quota-sets/{project}", {"quota_set": {"volumes": 999}})
                await refused(http, "PUT", f"/networking/v2.0/quotas/{project}", {"quota": {"port": 9999}})
                await refused(http, "DELETE", f"/networking/v2.0/quotas/{project}")
            await refused(http, "POST", f"{V3}/limits", own)
            await refused(http, "PATCH", f"{V3}/limits/{victim.owned['limit'][0]}", {"limit": {"resource_limit": 0}})
            await refused(http, "POST", f"{V3}/registered_limits", {"registered_limits": []})
            heads = {"X-Account-Meta-Quota-Bytes": "999999999"}
            await refused(http, "POST", f"/object-store/v1/AUTH_{tenant.project}", None, **heads)
    async with world.as_(tenant, "reader") as http:
        await ok(http, "GET", f"/compute/v2.1/os-quota-sets/{tenant.project}")
        await ok(http, "GET", f"/networking/v2.0/quotas/{tenant.project}")
