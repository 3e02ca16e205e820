"""Making what a seed says, by the public APIs, as whoever could have made it by hand.

Rule: what the cloud refuses is told with the line of the seed that asked for it.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from pileus.fake import seed as kinds
from pileus.fake.client import FakeClient, Refused
from pileus.fake.seed import Seed

COMPUTE, VOLUME, NETWORK, IMAGE, IDENTITY = (
    "/compute/v2.1",
    "/volume/v3",
    "/networking/v2.0",
    "/image/v2",
    "/identity/v3",
)
PATIENCE_S = 60.0


def sow(seed: Seed, client: FakeClient, users: dict[str, Any]) -> dict[str, Any]:
    """Make everything; return ``users``, those of ``credentials.json``, with the seed's added to them."""
    sower = _Sower(seed, client, users)
    sower.make()
    return sower.users


class _Sower:
    """One seed, one cloud, an administrator."""

    def __init__(self, seed: Seed, client: FakeClient, users: dict[str, Any]) -> None:
        self.seed = seed
        self.client = client
        self.users = dict(users)
        self.tokens: dict[str, str] = {}
        admin = users["admin"]
        self.admin = self._log_in(admin["user"], admin["password"], admin["project"])

    def make(self) -> None:
        """Make all, what others need first."""
        for kind in ("projects", "roles", "users", "flavors", "images", "networks"):
            self._each(kind)
        for kind in ("routers", "security_groups", "keypairs", "volumes", "servers"):
            self._each(kind)
        self._await("volumes", f"{VOLUME}/volumes/detail", "volumes", "available")
        self._await("servers", f"{COMPUTE}/servers/detail", "servers", "ACTIVE")

    def _each(self, kind: str) -> None:
        for number, one in enumerate(getattr(self.seed.content, kind)):
            where = f"{kind}[{number}]"
            with self._named(where):
                getattr(self, f"_{kind}")(one, where)

    @contextmanager
    def _named(self, where: str) -> Iterator[None]:
        try:
            yield
        except Refused as error:
            raise self.seed.error(where, str(error)) from error

    # Asking.

    def _ask(self, method: str, path: str, body: Any = None, token: str = "", **headers: str) -> Any:
        given = {"X-Auth-Token": token or self.admin, **{k.replace("_", "-"): v for k, v in headers.items()}}
        return self.client.exchange(method, path, body, given)[0]

    def _log_in(self, user: str, password: str, project: str) -> str:
        proof = {"user": {"name": user, "password": password, "domain": {"id": "default"}}}
        scope = {"project": {"name": project, "domain": {"id": "default"}}}
        auth = {"identity": {"methods": ["password"], "password": proof}, "scope": scope}
        return self.client.exchange("POST", f"{IDENTITY}/auth/tokens", {"auth": auth}, {})[1]["x-subject-token"]

    def _find(self, where: str, list_path: str, member: str, name: str, token: str = "") -> Any:
        """Return the one thing of a name; raise SeedError when there is none."""
        mark = "&" if "?" in list_path else "?"
        found = self._ask("GET", f"{list_path}{mark}name={quote(name)}", token=token)[member]
        found = [one for one in found if one["name"] == name]
        if not found:
            raise self.seed.error(where, f"there is none of {member} called {name}.")
        return found[0]

    def _project(self, where: str, name: str) -> str:
        return self._find(where, f"{IDENTITY}/projects", "projects", name)["id"]

    def _member(self, where: str, project: str) -> str:
        """Return a token of somebody who may make things in a project."""
        if project not in self.tokens:
            known = [user for user in self.users.values() if user["project"] == project]
            if not known:
                raise self.seed.error(where, f"nobody could make it: no user has a role in project {project}.")
            self.tokens[project] = self._log_in(known[0]["user"], known[0]["password"], project)
        return self.tokens[project]

    # Making.

    def _projects(self, one: kinds.Project, where: str) -> None:
        body = {"name": one.name, "description": one.description, "domain_id": "default"}
        id = self._ask("POST", f"{IDENTITY}/projects", {"project": body})["project"]["id"]
        for service, limits, path, member in (
            ("compute", one.quota.compute, f"{COMPUTE}/os-quota-sets/{id}", "quota_set"),
            ("volume", one.quota.volume, f"{VOLUME}/os-quota-sets/{id}", "quota_set"),
            ("network", one.quota.network, f"{NETWORK}/quotas/{id}", "quota"),
        ):
            if limits:
                with self._named(f"{where}.quota.{service}"):
                    self._ask("PUT", path, {member: limits})

    def _roles(self, one: kinds.Role, where: str) -> None:
        self._ask("POST", f"{IDENTITY}/roles", {"role": {"name": one.name}})

    def _users(self, one: kinds.User, where: str) -> None:
        body = {"name": one.name, "password": one.password, "domain_id": "default"}
        id = self._ask("POST", f"{IDENTITY}/users", {"user": body})["user"]["id"]
        for number, grant in enumerate(one.roles):
            here = f"{where}.roles[{number}]"
            project = self._project(f"{here}.project", grant.project)
            role = self._find(f"{here}.role", f"{IDENTITY}/roles", "roles", grant.role)["id"]
            self._ask("PUT", f"{IDENTITY}/projects/{project}/users/{id}/roles/{role}")
            key = one.name if number == 0 else f"{one.name} in {grant.project}"
            self.users.setdefault(key, {"user": one.name, "project": grant.project, "password": one.password})

    def _flavors(self, one: kinds.Flavor, where: str) -> None:
        body = {"name": one.name, "vcpus": one.vcpus, "ram": one.ram, "disk": one.disk, "id": one.id or "auto"}
        public = {"os-flavor-access:is_public": one.public}
        id = self._ask("POST", f"{COMPUTE}/flavors", {"flavor": {**body, **public}})["flavor"]["id"]
        if one.extra_specs:
            self._ask("POST", f"{COMPUTE}/flavors/{id}/os-extra_specs", {"extra_specs": one.extra_specs})

    def _images(self, one: kinds.Image, where: str) -> None:
        body: dict[str, Any] = {
            "name": one.name,
            "disk_format": one.disk_format,
            "container_format": "bare",
            "visibility": one.visibility,
            "min_disk": one.min_disk,
            "min_ram": one.min_ram,
            **one.properties,
        }
        if one.project is not None:
            body["owner"] = self._project(f"{where}.project", one.project)
        id = self._ask("POST", f"{IMAGE}/images", body)["id"]
        content = bytes(one.size) if one.file is None else (self.seed.path.parent / one.file).read_bytes()
        headers = {"X-Auth-Token": self.admin, "Content-Type": "application/octet-stream"}
        self.client.send("PUT", f"{IMAGE}/images/{id}/file", content, headers)

    def _networks(self, one: kinds.Network, where: str) -> None:
        body = {
            "name": one.name,
            "project_id": self._project(f"{where}.project", one.project),
            "shared": one.shared,
            "router:external": one.external,
        }
        network = self._ask("POST", f"{NETWORK}/networks", {"network": body})["network"]["id"]
        for number, subnet in enumerate(one.subnets):
            with self._named(f"{where}.subnets[{number}]"):
                self._subnet(subnet, network, body["project_id"])

    def _subnet(self, one: kinds.Subnet, network: str, project: str) -> None:
        body: dict[str, Any] = {
            "name": one.name,
            "network_id": network,
            "project_id": project,
            "cidr": one.cidr,
            "ip_version": 6 if ":" in one.cidr else 4,
            "enable_dhcp": one.dhcp,
            "dns_nameservers": one.dns,
        }
        if one.gateway is not None:
            body["gateway_ip"] = None if one.gateway == "none" else one.gateway
        if one.pools:
            body["allocation_pools"] = [{"start": pool.start, "end": pool.end} for pool in one.pools]
        self._ask("POST", f"{NETWORK}/subnets", {"subnet": body})

    def _routers(self, one: kinds.Router, where: str) -> None:
        project = self._project(f"{where}.project", one.project)
        body: dict[str, Any] = {"name": one.name, "project_id": project}
        if one.gateway is not None:
            outside = self._find(f"{where}.gateway", f"{NETWORK}/networks", "networks", one.gateway)["id"]
            body["external_gateway_info"] = {"network_id": outside}
        router = self._ask("POST", f"{NETWORK}/routers", {"router": body})["router"]["id"]
        for number, name in enumerate(one.subnets):
            here = f"{where}.subnets[{number}]"
            subnet = self._find(here, f"{NETWORK}/subnets?project_id={project}", "subnets", name)["id"]
            with self._named(here):
                self._ask("PUT", f"{NETWORK}/routers/{router}/add_router_interface", {"subnet_id": subnet})

    def _security_groups(self, one: kinds.SecurityGroup, where: str) -> None:
        project = self._project(f"{where}.project", one.project)
        body = {"name": one.name, "description": one.description, "project_id": project}
        id = self._ask("POST", f"{NETWORK}/security-groups", {"security_group": body})["security_group"]["id"]
        for number, rule in enumerate(one.rules):
            with self._named(f"{where}.rules[{number}]"):
                self._rule(rule, id, project)

    def _rule(self, one: kinds.Rule, group: str, project: str) -> None:
        first, _, last = (one.ports or "").partition("-")
        body = {
            "security_group_id": group,
            "project_id": project,
            "direction": one.direction,
            "ethertype": one.ethertype,
            "protocol": one.protocol,
            "port_range_min": int(first) if first else None,
            "port_range_max": int(last or first) if first else None,
            "remote_ip_prefix": one.remote,
        }
        self._ask("POST", f"{NETWORK}/security-group-rules", {"security_group_rule": body})

    def _keypairs(self, one: kinds.KeyPair, where: str) -> None:
        user = self._find(f"{where}.user", f"{IDENTITY}/users", "users", one.user)["id"]
        body = {"name": one.name, "public_key": one.public_key, "type": "ssh", "user_id": user}
        version = {"OpenStack_API_Version": "compute 2.10"}
        self._ask("POST", f"{COMPUTE}/os-keypairs", {"keypair": body}, **version)

    def _volumes(self, one: kinds.Volume, where: str) -> None:
        token = self._member(f"{where}.project", one.project)
        body: dict[str, Any] = {"name": one.name, "size": one.size}
        if one.image is not None:
            body["imageRef"] = self._find(f"{where}.image", f"{IMAGE}/images", "images", one.image, token)["id"]
        self._ask("POST", f"{VOLUME}/volumes", {"volume": body}, token)

    def _servers(self, one: kinds.Server, where: str) -> None:
        token = self._member(f"{where}.project", one.project)
        flavors = self._ask("GET", f"{COMPUTE}/flavors", token=token)["flavors"]
        flavor = next((each["id"] for each in flavors if each["name"] == one.flavor), None)
        if flavor is None:
            names = ", ".join(each["name"] for each in flavors)
            raise self.seed.error(f"{where}.flavor", f"there is no flavor {one.flavor}; there are: {names}.")
        networks = [
            {"uuid": self._find(f"{where}.networks[{number}]", f"{NETWORK}/networks", "networks", name, token)["id"]}
            for number, name in enumerate(one.networks)
        ]
        body: dict[str, Any] = {
            "name": one.name,
            "flavorRef": flavor,
            "imageRef": self._find(f"{where}.image", f"{IMAGE}/images", "images", one.image, token)["id"],
            "networks": networks,
            "metadata": one.metadata,
        }
        if one.security_groups:
            body["security_groups"] = [{"name": name} for name in one.security_groups]
        if one.key is not None:
            body["key_name"] = one.key
        self._ask("POST", f"{COMPUTE}/servers", {"server": body}, token)

    # Waiting.

    def _await(self, kind: str, path: str, member: str, state: str) -> None:
        """Wait until all of a kind are what they are to be."""
        deadline = time.monotonic() + PATIENCE_S
        wanted: list[Any] = getattr(self.seed.content, kind)
        for number, one in enumerate(wanted):
            token, where = self._member(f"{kind}[{number}].project", one.project), f"{kind}[{number}]"
            while (found := self._find(where, path, member, one.name, token))["status"].lower() != state.lower():
                if "error" in found["status"].lower() or time.monotonic() > deadline:
                    why = (found.get("fault") or {}).get("message", f"it is {found['status']}")
                    raise self.seed.error(where, f"{one.name} did not come up: {why}")
                time.sleep(0.02)
