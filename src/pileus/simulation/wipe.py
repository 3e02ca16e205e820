"""What every user does in the end: delete everything.  Rule: nothing may refuse to go, and nothing may be left."""

import asyncio
from contextlib import suppress
from typing import Any

from pileus.simulation.cloud import Cloud, Lost
from pileus.simulation.template import COMPUTE, IMAGE, NETWORK, VOLUME
from pileus.simulation.trace import Violation
from pileus.simulation.users import HEADERS, Belongings


class Wipe:
    """Deletes everything of a project, as its user."""

    def __init__(self, cloud: Cloud, belongings: Belongings) -> None:
        self._cloud = cloud
        self._token = belongings.project.token
        self._keep = {belongings.project.network, belongings.project.subnet, belongings.project.router}

    async def _ask(self, method: str, path: str, body: Any = None) -> Any:
        service = "/" + path.split("/", 2)[1]
        while True:
            with suppress(Lost):
                answer = await self._cloud.call(method, path, body, token=self._token, headers=HEADERS.get(service, {}))
                if answer.status >= 400 and answer.status != 404:
                    raise Violation(f"cleaning up: {method} {path} answered {answer.status}: {answer.body}")
                return answer.body
            await asyncio.sleep(1)

    async def _all(self, path: str, member: str) -> list[Any]:
        return [one for one in (await self._ask("GET", path))[member] if one["id"] not in self._keep]

    async def servers(self) -> None:
        """Delete the servers, locked ones too."""
        for server in await self._all(f"{COMPUTE}/servers", "servers"):
            await self._ask("POST", f"{COMPUTE}/servers/{server['id']}/action", {"unlock": None})
            await self._ask("DELETE", f"{COMPUTE}/servers/{server['id']}")

    async def volumes(self, kind: str) -> None:
        """Delete all of a kind: backups, snapshots, volumes, in this order."""
        for one in await self._all(f"{VOLUME}/{kind}", kind):
            await self._ask("DELETE", f"{VOLUME}/{kind}/{one['id']}")

    async def rest(self) -> None:
        """Delete the rest, what depends on others first."""
        for image in await self._all(f"{IMAGE}/images", "images"):
            if image["visibility"] != "public":
                await self._ask("DELETE", f"{IMAGE}/images/{image['id']}")
        for floating_ip in await self._all(f"{NETWORK}/floatingips", "floatingips"):
            await self._ask("DELETE", f"{NETWORK}/floatingips/{floating_ip['id']}")
        for router in await self._all(f"{NETWORK}/routers", "routers"):
            await self._clear_router(router["id"])
        for port in await self._all(f"{NETWORK}/ports", "ports"):
            if not port["device_owner"].startswith("network:"):
                await self._ask("DELETE", f"{NETWORK}/ports/{port['id']}")
        for network in await self._all(f"{NETWORK}/networks", "networks"):
            if not network["router:external"]:
                await self._clear_network(network["id"])
        for subnet in await self._all(f"{NETWORK}/subnets", "subnets"):
            if subnet["network_id"] in self._keep:
                await self._clear_subnet(subnet["id"])
        for group in await self._all(f"{NETWORK}/security-groups", "security_groups"):
            if group["name"] != "default":
                await self._ask("DELETE", f"{NETWORK}/security-groups/{group['id']}")
        for pair in (await self._ask("GET", f"{COMPUTE}/os-keypairs"))["keypairs"]:
            await self._ask("DELETE", f"{COMPUTE}/os-keypairs/{pair['keypair']['name']}")
        for group in await self._all(f"{COMPUTE}/os-server-groups", "server_groups"):
            await self._ask("DELETE", f"{COMPUTE}/os-server-groups/{group['id']}")

    async def _clear_router(self, id: str) -> None:
        ports = (await self._ask("GET", f"{NETWORK}/ports"))["ports"]
        for port in ports:
            if port["device_id"] == id and port["device_owner"] == "network:router_interface":
                await self._ask("PUT", f"{NETWORK}/routers/{id}/remove_router_interface", {"port_id": port["id"]})
        await self._ask("DELETE", f"{NETWORK}/routers/{id}")

    async def _clear_subnet(self, id: str) -> None:
        ports = (await self._ask("GET", f"{NETWORK}/ports"))["ports"]
        for port in ports:
            here = any(address["subnet_id"] == id for address in port["fixed_ips"])
            if here and port["device_owner"] == "network:router_interface":
                path = f"{NETWORK}/routers/{port['device_id']}/remove_router_interface"
                await self._ask("PUT", path, {"subnet_id": id})
        await self._ask("DELETE", f"{NETWORK}/subnets/{id}")

    async def _clear_network(self, id: str) -> None:
        for subnet in (await self._ask("GET", f"{NETWORK}/subnets"))["subnets"]:
            if subnet["network_id"] == id:
                await self._clear_subnet(subnet["id"])
        await self._ask("DELETE", f"{NETWORK}/networks/{id}")


LEFT = {
    "servers": "select id from compute_servers where deleted_at is null",
    "volumes": "select id from block_storage_volumes",
    "snapshots": "select id from block_storage_snapshots",
    "backups": "select id from block_storage_backups",
    "attachments": "select id from block_storage_attachments",
    "allocations": "select consumer_uuid from placement_allocations",
    "cards": "select port_id from compute_nics",
    "devices": "select id from compute_block_devices",
    "guests' ports": "select id from network_ports where role in ('compute', '')",
    "floating IPs": "select id from network_floating_ips",
}


def left_over(cloud: Cloud) -> list[str]:
    """Return what is left in the tables after every project was wiped, as sentences."""
    found = {what: cloud.store.connection.execute(query).fetchall() for what, query in LEFT.items()}
    return [f"{what} {rows[:5]}" for what, rows in found.items() if rows]
