"""Networks: the project's networks with their subnets, routers and floating IPs."""

import asyncio
from typing import Any

from pileus.services.dashboard.panel import Panel, Visit

BASE = "/networking/v2.0"


async def load(visit: Visit) -> dict[str, Any]:
    """Return networks with their subnets, routers, and floating IPs with what they lead to."""
    networks, subnets, routers, floating_ips, ports = await asyncio.gather(
        visit.api.get(f"{BASE}/networks"),
        visit.api.get(f"{BASE}/subnets"),
        visit.api.get(f"{BASE}/routers"),
        visit.api.get(f"{BASE}/floatingips", project_id=visit.session.project_id),
        visit.api.get(f"{BASE}/ports", project_id=visit.session.project_id),
    )
    by_network: dict[str, list[dict[str, Any]]] = {}
    for subnet in subnets["subnets"]:
        by_network.setdefault(subnet["network_id"], []).append(subnet)
    taken = {entry["port_id"] for entry in floating_ips["floatingips"] if entry["port_id"]}
    guests = [port for port in ports["ports"] if port["device_owner"].startswith("compute:")]
    return {
        "networks": [{**one, "subnet_rows": by_network.get(one["id"], [])} for one in networks["networks"]],
        "external": [one for one in networks["networks"] if one["router:external"]],
        "routers": routers["routers"],
        "floating_ips": floating_ips["floatingips"],
        "free_ports": [port for port in guests if port["id"] not in taken],
    }


async def load_form(visit: Visit) -> dict[str, Any]:
    """Return the routers a new network can be joined to."""
    return {"routers": (await visit.api.get(f"{BASE}/routers"))["routers"]}


async def create(visit: Visit) -> str:
    """Make a network with one subnet, joined to a router if chosen; take it back when a later part is refused."""
    name = visit.text("name")
    network = (await visit.api.post(f"{BASE}/networks", {"network": {"name": name}}))["network"]
    try:
        body = {"network_id": network["id"], "name": f"{name}-subnet", "ip_version": 4, "cidr": visit.text("cidr")}
        subnet = (await visit.api.post(f"{BASE}/subnets", {"subnet": body}))["subnet"]
        if router := visit.text("router"):
            await visit.api.put(f"{BASE}/routers/{router}/add_router_interface", {"subnet_id": subnet["id"]})
    except Exception:
        await visit.api.delete(f"{BASE}/networks/{network['id']}")
        raise
    return f"Network {name} has been made."


async def delete(visit: Visit, id: str) -> str:
    await visit.api.delete(f"{BASE}/networks/{id}")
    return "The network has been deleted."


async def allocate(visit: Visit, id: str) -> str:
    """Take a floating IP from the external network ``id``, for a port if chosen."""
    body: dict[str, Any] = {"floating_network_id": id}
    if port := visit.text("port"):
        body["port_id"] = port
    made = (await visit.api.post(f"{BASE}/floatingips", {"floatingip": body}))["floatingip"]
    return f"Floating IP {made['floating_ip_address']} is yours."


async def release(visit: Visit, id: str) -> str:
    await visit.api.delete(f"{BASE}/floatingips/{id}")
    return "The floating IP has been given back."


PANEL = Panel(
    "networks",
    "Networks",
    20,
    load,
    load_form=load_form,
    create=create,
    actions={"delete": delete, "allocate": allocate, "release": release},
    events=("network.network", "network.subnet", "network.router", "network.floatingip", "network.port"),
)
