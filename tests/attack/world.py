"""One fake cloud with a victim, who owns at least one of each thing, and attackers of another domain who own the same.

Rule: whatever can be made through the APIs is; only tables that nothing of the victim's stands in then get rows.
"""

import asyncio
import base64
import re
import tempfile
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Container
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import select

from pileus.kernel.db import Row, Tx
from pileus.kernel.runtime import Runtime
from pileus.kernel.testing import client, running
from pileus.kernel.watchdog import LoopWatch
from pileus.services.identity.testing import auth_body, login
from tests.everywhere import put_everywhere

MARK = "belongs-to-the-victim"
"""What stands in every text of the victim's: nobody else may ever read it."""
PLANTED = "5eed0000-0000-4000-8000-00000000000a"
"""The id under which the victim has a row in every table."""
V3, COMPUTE, NETWORK, VOLUME, IMAGE = "/identity/v3", "/compute/v2.1", "/networking/v2.0", "/volume/v3", "/image/v2"
PASSWORD = "a-long-passphrase"
VERSIONS = {"OpenStack-API-Version": "compute 2.90, volume 3.70"}
TABLES = {
    "identity": {"log_ins": {"enabled": False}},  # its 429 would be the answer to everything
}
PATIENCE_S = 20.0
NOT_PLANTED = {"object_store_discards", "network_host_work", "compute_aggregate_hosts"}
"""Tables of work that the cloud does by itself, and of what its scheduler reads."""
ROLES = ("reader", "member", "manager")


@dataclass
class Tenant:
    """A domain of one project, its people, and the ids of what it owns, by kind."""

    text: str
    domain: str = ""
    project: str = ""
    users: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    owned: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def ids(self) -> set[str]:
        """Return every id that tells of this tenant: long enough to be found in a text by no accident."""
        found = {self.domain, self.project, *self.users.values()}
        found.update(id for ids in self.owned.values() for id in ids)
        return {id for id in found if len(id) >= 32}


@dataclass
class World:
    """A cloud, its administrator, a victim and an attacker."""

    runtime: Runtime
    admin: httpx.AsyncClient
    victim: Tenant = field(default_factory=lambda: Tenant(MARK))
    attacker: Tenant = field(default_factory=lambda: Tenant("of-the-attackers"))
    planted: list[str] = field(default_factory=list)

    def as_(self, tenant: Tenant, persona: str) -> httpx.AsyncClient:
        """Return a client of one of a tenant's people; to be closed."""
        return client(self.runtime, tenant.tokens[persona], **VERSIONS)

    async def token(self, tenant: Tenant, persona: str) -> str:
        """Return a new token: for the domain for its administrator, for the project for all others."""
        scope = {"domain": {"id": tenant.domain}} if persona == "domain admin" else {"project": {"id": tenant.project}}
        body = auth_body(f"{tenant.text}-{persona}", PASSWORD, scope, tenant.domain)
        async with client(self.runtime) as http:
            answer = await http.post(f"{V3}/auth/tokens", json=body)
        assert answer.status_code == 201, answer.text
        return answer.headers["x-subject-token"]


@asynccontextmanager
async def world(*, planted: bool = True) -> AsyncIterator[World]:
    """Start a cloud and furnish it for both tenants."""
    with tempfile.TemporaryDirectory(prefix="pileus-attack-") as folder:
        async with (
            running(Path(folder), tables=TABLES, fake_hosts=2) as runtime,
            client(runtime, await login(runtime, "admin"), **VERSIONS) as admin,
        ):
            watch = LoopWatch()
            watch.start()
            made = World(runtime, admin)
            for tenant in (made.victim, made.attacker):
                await people(made, tenant)
                await things(made, tenant)
            assert runtime.reconcilers is not None
            await runtime.reconcilers.stop()
            if planted:
                made.planted = await runtime.db.write(plant, made.victim)
            try:
                yield made
            finally:
                watch.stop()


def plant(tx: Tx, tenant: Tenant) -> list[str]:
    """Put a row of the tenant's under the id ``PLANTED`` into every table that has none of it; return the tables."""
    known = {table for table, rows in rows_of(tx, tenant.ids()).items() if rows} | NOT_PLANTED
    return put_everywhere(tx, PLANTED, tenant.project, tenant.users["member"], tenant.text, known)


def rows_of(tx: Tx, ids: set[str], but: Container[str] = ()) -> dict[str, set[str]]:
    """Return every row, as text, in which one of the ids or the victim's mark stands, by table."""
    told = re.compile("|".join(map(re.escape, sorted({MARK, PLANTED, *ids}))))
    found: dict[str, set[str]] = {}
    for table in Row.metadata.sorted_tables:
        if table.name not in but:
            rows = (repr(tuple(row)) for row in tx.execute(select(table)))
            found[table.name] = {text for text in rows if told.search(text)}
    return found


async def make(http: httpx.AsyncClient, path: str, body: Any, method: str = "POST", **more: Any) -> Any:
    """Send a request that must succeed; return the thing in its answer."""
    answer = await http.request(method, path, json=body, **more)
    assert answer.status_code < 300, f"{method} {path}: {answer.status_code} {answer.text}"
    if not answer.content:
        return {}
    content = answer.json()
    return content if "id" in content or len(content) != 1 else next(iter(content.values()))


async def people(world: World, tenant: Tenant) -> None:
    """Make a domain, its project and its people, and log them in."""
    admin, name = world.admin, tenant.text
    domain = {"name": name, "description": name}
    tenant.domain = (await make(admin, f"{V3}/domains", {"domain": domain}))["id"]
    project = {"name": name, "domain_id": tenant.domain, "description": name, "tags": [name]}
    tenant.project = (await make(admin, f"{V3}/projects", {"project": project}))["id"]
    roles = {row["name"]: row["id"] for row in (await admin.get(f"{V3}/roles")).json()["roles"]}
    for persona in (*ROLES, "domain admin"):
        user = {"name": f"{name}-{persona}", "password": PASSWORD, "domain_id": tenant.domain, "description": name}
        user |= {"default_project_id": tenant.project} if persona != "domain admin" else {}
        tenant.users[persona] = (await make(admin, f"{V3}/users", {"user": user}))["id"]
        where = f"domains/{tenant.domain}" if persona == "domain admin" else f"projects/{tenant.project}"
        role = roles["admin" if persona == "domain admin" else persona]
        await make(admin, f"{V3}/{where}/users/{tenant.users[persona]}/roles/{role}", None, "PUT")
        tenant.tokens[persona] = await world.token(tenant, persona)
    owned = tenant.owned
    owned["domain"], owned["project"] = [tenant.domain], [tenant.project]
    owned["user"] = [tenant.users["member"], tenant.users["domain admin"]]
    owned["token"] = [tenant.tokens["member"]]


async def things(world: World, tenant: Tenant) -> None:
    """Make one of each thing."""
    async with world.as_(tenant, "manager") as http, world.as_(tenant, "domain admin") as boss:
        await networks(world, http, tenant)
        await images(http, tenant)
        await volumes(world, http, tenant)
        await servers(world, http, tenant)
        await objects(http, tenant)
        await identities(world, http, boss, tenant)


async def networks(world: World, http: httpx.AsyncClient, tenant: Tenant) -> None:
    text, owned = {"name": tenant.text, "description": tenant.text}, tenant.owned
    others = uuid.uuid4().hex

    async def one(kind: str, plural: str, **body: Any) -> str:
        made = await make(http, f"{NETWORK}/{plural}", {kind: body})
        owned[kind].append(made["id"])
        return made["id"]

    scope = await one("address_scope", "address-scopes", ip_version=4, name=tenant.text)
    await one("subnetpool", "subnetpools", prefixes=["10.128.0.0/16"], address_scope_id=scope, **text)
    network = await one("network", "networks", **text)
    await make(http, f"{NETWORK}/networks/{network}/tags/{tenant.text}", None, "PUT")
    subnet = await one("subnet", "subnets", network_id=network, ip_version=4, cidr="10.9.0.0/24", **text)
    group = await one("security_group", "security-groups", **text)
    rule = {"direction": "ingress", "description": tenant.text, "remote_group_id": group}
    await one("security_group_rule", "security-group-rules", security_group_id=group, **rule)
    rows = (await world.admin.get(f"{NETWORK}/networks?router:external=true")).json()["networks"]
    gateway = {"network_id": rows[0]["id"]}
    router = await one("router", "routers", external_gateway_info=gateway, **text)
    await make(http, f"{NETWORK}/routers/{router}/add_router_interface", {"subnet_id": subnet}, "PUT")
    port = await one("port", "ports", network_id=network, security_groups=[group], dns_name="", **text)
    await one("port", "ports", network_id=network, device_id=tenant.text, **text)
    await one("floatingip", "floatingips", floating_network_id=rows[0]["id"], port_id=port, description=tenant.text)
    share = {"object_type": "network", "object_id": network, "action": "access_as_shared", "target_tenant": others}
    await one("rbac_policy", "rbac-policies", **share)
    found = (await http.get(f"{NETWORK}/ports?network_id={network}")).json()["ports"]
    owned["port"] += [row["id"] for row in found if row["id"] not in owned["port"]]


async def images(http: httpx.AsyncClient, tenant: Tenant) -> None:
    for visibility in ("private", "shared"):
        body = {"name": tenant.text, "disk_format": "raw", "container_format": "bare", "visibility": visibility}
        image = (await make(http, f"{IMAGE}/images", {**body, "tags": [tenant.text], "note": tenant.text}))["id"]
        octets = {"Content-Type": "application/octet-stream"}
        content = tenant.text.encode().ljust(4096, b" ")
        assert (await http.put(f"{IMAGE}/images/{image}/file", content=content, headers=octets)).is_success
        tenant.owned["image"].append(image)
    member = uuid.uuid4().hex
    await make(http, f"{IMAGE}/images/{tenant.owned['image'][1]}/members", {"member": member})
    tenant.owned["member"].append(member)


async def settled(http: httpx.AsyncClient, path: str, member: str, *states: str) -> dict[str, Any]:
    """Wait for a thing to come to rest."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found = (await http.get(path)).json()[member]
            if found["status"] in states:
                return found
            await asyncio.sleep(0.01)


async def volumes(world: World, http: httpx.AsyncClient, tenant: Tenant) -> None:
    owned, text = tenant.owned, {"name": tenant.text, "description": tenant.text}
    kind = {"name": f"{tenant.text}-type", "os-volume-type-access:is_public": False, "description": tenant.text}
    made = (await make(world.admin, f"{VOLUME}/types", {"volume_type": kind}))["id"]
    owned["volume_type"].append(made)
    access = {"addProjectAccess": {"project": tenant.project}}
    await make(world.admin, f"{VOLUME}/types/{made}/action", access)
    for _ in range(3):
        body = {"size": 1, "metadata": {"note": tenant.text}, **text}
        volume = (await make(http, f"{VOLUME}/volumes", {"volume": body}))["id"]
        owned["volume"].append(volume)
        await settled(http, f"{VOLUME}/volumes/{volume}", "volume", "available")
    snapshot = await make(http, f"{VOLUME}/snapshots", {"snapshot": {"volume_id": owned["volume"][0], **text}})
    owned["snapshot"].append(snapshot["id"])
    await settled(http, f"{VOLUME}/snapshots/{snapshot['id']}", "snapshot", "available")
    backup = await make(http, f"{VOLUME}/backups", {"backup": {"volume_id": owned["volume"][0], **text}})
    owned["backup"].append(backup["id"])
    await settled(http, f"{VOLUME}/backups/{backup['id']}", "backup", "available")
    transfer = {"volume_id": owned["volume"][2], "name": tenant.text}
    owned["transfer"].append((await make(http, f"{VOLUME}/volume-transfers", {"transfer": transfer}))["id"])


async def servers(world: World, http: httpx.AsyncClient, tenant: Tenant) -> None:
    owned = tenant.owned
    flavor = {"name": tenant.text, "ram": 64, "vcpus": 1, "disk": 1, "os-flavor-access:is_public": False}
    made = (await make(world.admin, f"{COMPUTE}/flavors", {"flavor": {**flavor, "description": tenant.text}}))["id"]
    owned["flavor"].append(made)
    await make(world.admin, f"{COMPUTE}/flavors/{made}/action", {"addTenantAccess": {"tenant": tenant.project}})
    key = {"name": f"{tenant.text}-key", "type": "ssh", "public_key": PUBLIC_KEY}
    await make(http, f"{COMPUTE}/os-keypairs", {"keypair": key})
    owned["keypair"].append(key["name"])
    group = {"name": tenant.text, "policy": "anti-affinity"}
    owned["server_group"].append((await make(http, f"{COMPUTE}/os-server-groups", {"server_group": group}))["id"])
    body = {
        "name": tenant.text, "description": tenant.text, "imageRef": owned["image"][0], "flavorRef": made,
        "networks": [{"port": owned["port"][0]}], "metadata": {"note": tenant.text}, "key_name": key["name"],
        "tags": [tenant.text], "user_data": base64.b64encode(tenant.text.encode()).decode(),
    }  # fmt: skip
    hints = {"os:scheduler_hints": {"group": owned["server_group"][0]}}
    server = (await make(http, f"{COMPUTE}/servers", {"server": body, **hints}))["id"]
    owned["server"].append(server)
    await settled(http, f"{COMPUTE}/servers/{server}", "server", "ACTIVE")
    attach = {"volumeAttachment": {"volumeId": owned["volume"][1]}}
    await make(http, f"{COMPUTE}/servers/{server}/os-volume_attachments", attach)
    await settled(http, f"{VOLUME}/volumes/{owned['volume'][1]}", "volume", "in-use")
    rows = (await http.get(f"{VOLUME}/attachments")).json()["attachments"]
    owned["attachment"] += [row["id"] for row in rows]
    console = {"remote_console": {"protocol": "vnc", "type": "novnc"}}
    url = (await make(http, f"{COMPUTE}/servers/{server}/remote-consoles", console))["url"]
    owned["console_token"].append(url.rpartition("token")[2].lstrip("=%3D"))
    rows = (await http.get(f"{COMPUTE}/servers/{server}/os-instance-actions")).json()["instanceActions"]
    owned["request"] += [row["request_id"] for row in rows]


async def objects(http: httpx.AsyncClient, tenant: Tenant) -> None:
    account = f"/object-store/v1/AUTH_{tenant.project}"
    note = {"X-Container-Meta-Note": tenant.text}
    assert (await http.put(f"{account}/{tenant.text}-box", headers=note)).is_success
    note = {"X-Object-Meta-Note": tenant.text}
    content = tenant.text.encode()
    assert (await http.put(f"{account}/{tenant.text}-box/{tenant.text}", content=content, headers=note)).is_success
    tenant.owned["account"] = [f"AUTH_{tenant.project}"]
    tenant.owned["container"] = [f"{tenant.text}-box"]
    tenant.owned["object"] = [tenant.text]


async def identities(world: World, http: httpx.AsyncClient, boss: httpx.AsyncClient, tenant: Tenant) -> None:
    owned, text, domain = tenant.owned, {"name": tenant.text, "description": tenant.text}, tenant.domain
    me, other = tenant.users["manager"], tenant.users["member"]
    owned["group"].append((await make(boss, f"{V3}/groups", {"group": {**text, "domain_id": domain}}))["id"])
    await make(boss, f"{V3}/groups/{owned['group'][0]}/users/{other}", None, "PUT")
    role = {"name": f"{tenant.text}-role", "domain_id": domain, "description": tenant.text}
    owned["role"].append((await make(world.admin, f"{V3}/roles", {"role": role}))["id"])
    credential = {"type": "note", "blob": tenant.text, "user_id": me}
    owned["credential"].append((await make(http, f"{V3}/credentials", {"credential": credential}))["id"])
    key = await make(http, f"{V3}/users/{me}/credentials/OS-EC2", {"tenant_id": tenant.project})
    owned["access"].append(key["access"])
    rules = [{"service": "compute", "path": f"/v2.1/{tenant.text}", "method": "GET"}]
    body = {**text, "access_rules": rules}
    made = await make(http, f"{V3}/users/{me}/application_credentials", {"application_credential": body})
    owned["application_credential"].append(made["id"])
    owned["access_rule"].append(made["access_rules"][0]["id"])
    trust = {
        "trustor_user_id": me, "trustee_user_id": other, "project_id": tenant.project, "impersonation": True,
        "roles": [{"name": "reader"}],
    }  # fmt: skip
    owned["trust"].append((await make(http, f"{V3}/OS-TRUST/trusts", {"trust": trust}))["id"])
    consumer = {"consumer": {"description": tenant.text}}
    owned["consumer"].append((await make(world.admin, f"{V3}/OS-OAUTH1/consumers", consumer))["id"])
    owned["child_project"].append(
        (await make(boss, f"{V3}/projects", {"project": {"name": f"{tenant.text}-2", "domain_id": domain}}))["id"]
    )
    options = {"config": {"ldap": {"url": f"ldap://{tenant.text}"}}}
    await make(world.admin, f"{V3}/domains/{domain}/config", options, "PUT")
    await limits(world, tenant)
    await federation(world, tenant)


async def limits(world: World, tenant: Tenant) -> None:
    services = (await world.admin.get(f"{V3}/services?type=image")).json()["services"]
    general = {"service_id": services[0]["id"], "resource_name": f"units-of-{tenant.project[:8]}", "default_limit": 5}
    body = {"registered_limits": [general]}
    await make(world.admin, f"{V3}/registered_limits", body)
    own = {"service_id": services[0]["id"], "resource_name": f"units-of-{tenant.project[:8]}", "resource_limit": 4}
    body = {"limits": [{**own, "project_id": tenant.project, "description": tenant.text}]}
    made = await make(world.admin, f"{V3}/limits", body)
    tenant.owned["limit"].append((made if isinstance(made, list) else made["limits"])[0]["id"])


async def federation(world: World, tenant: Tenant) -> None:
    """Make an identity provider of the tenant's domain: it is the operator's, and nobody else reads it."""
    base, name = f"{V3}/OS-FEDERATION", f"{tenant.text}-provider"
    provider = {"identity_provider": {"domain_id": tenant.domain, "description": tenant.text, "remote_ids": [name]}}
    await make(world.admin, f"{base}/identity_providers/{name}", provider, "PUT")
    rules = [{"local": [{"user": {"name": tenant.text}}], "remote": [{"type": "x"}]}]
    await make(world.admin, f"{base}/mappings/{name}", {"mapping": {"rules": rules}}, "PUT")
    protocol = {"protocol": {"mapping_id": name}}
    await make(world.admin, f"{base}/identity_providers/{name}/protocols/{name}", protocol, "PUT")
    for kind in ("identity_provider", "mapping", "protocol"):
        tenant.owned[kind].append(name)


PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA4dHGXGxyZ9T8gGxPO5YoVnJbzKcVXBrHWpMRKqzXUh somebody@somewhere"
"""A key that nobody has the other half of."""
