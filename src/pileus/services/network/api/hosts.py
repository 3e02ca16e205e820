"""Agents, availability zones and providers.  Rule: made from what the kernel knows of the hosts."""

import uuid
from typing import Any

from pileus.dialects.neutron import READ
from pileus.kernel.agent import hosts
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import NotFound
from pileus.kernel.policy import ADMIN, Rule
from pileus.kernel.rest import Request
from pileus.kernel.rest.regular import boolean
from pileus.services.network.api.root import api
from pileus.services.network.model import ZONE

GET_AGENT = Rule("get_agent", ADMIN, "See the agents; to others the list is empty.")
GET_ZONES = Rule("get_availability_zone", READ, "See the availability zones.")
GET_PROVIDERS = Rule("get_service_provider", READ, "See who provides services.")
ROLES = {
    "Open vSwitch agent": ("pileus-l2-agent", "L2"),
    "DHCP agent": ("pileus-dhcp-agent", "dhcp_agent"),
    "L3 agent": ("pileus-l3-agent", "l3_agent"),
    "Metadata agent": ("pileus-metadata-agent", "N/A"),
}
"""The parts a host's one agent plays, under the types by which clients look for them."""
NAMESPACE = uuid.UUID("5b0e7c1e-6c0e-5c55-9a5c-3d1f3b4f9a10")
TIME = "%Y-%m-%d %H:%M:%S"


def agents(tx: Tx) -> list[dict[str, Any]]:
    """Return what every host's agent is to clients: one entry for each part it plays."""
    found = []
    for host in hosts.every(tx):
        if "network" not in host.services:
            continue
        for kind, (binary, topic) in ROLES.items():
            found.append(
                {
                    "id": str(uuid.uuid5(NAMESPACE, f"{host.name}/{kind}")),
                    "agent_type": kind,
                    "binary": binary,
                    "topic": topic,
                    "host": host.name,
                    "availability_zone": ZONE if topic in ("dhcp_agent", "l3_agent") else None,
                    "admin_state_up": True,
                    "alive": host.state == hosts.UP,
                    "created_at": host.registered_at.strftime(TIME),
                    "started_at": host.changed_at.strftime(TIME),
                    "heartbeat_timestamp": host.last_seen_at.strftime(TIME),
                    "description": None,
                    "configurations": host.facts.get("network", {}),
                    "resources_synced": None,
                    "resource_versions": {},
                }
            )
    return found


def _matching(items: list[dict[str, Any]], request: Request) -> list[dict[str, Any]]:
    """Keep the items that the query string asks for."""
    fields: list[str] = []
    for name, value in request.query_items():
        if name == "fields":
            fields.append(value)
        elif items and name in items[0]:
            wanted: Any = boolean(name, value) if isinstance(items[0][name], bool) else value
            items = [item for item in items if item[name] == wanted]
    return [{name: item[name] for name in fields if name in item} for item in items] if fields else items


@api.get("/agents", GET_AGENT, wrap="agents", by_handler=True)
def list_agents(tx: Tx, ctx: Context, request: Request) -> list[dict[str, Any]]:
    return _matching(agents(tx), request) if ctx.allows(GET_AGENT) else []


def find_agent(tx: Tx, ctx: Context, id: str) -> dict[str, Any]:
    """Return an agent; raise NotFound when there is none or the caller may not see agents."""
    found = next((agent for agent in agents(tx) if agent["id"] == id), None) if ctx.allows(GET_AGENT) else None
    if found is None:
        raise NotFound(f"Agent {id} could not be found.", kind="AgentNotFound")
    return found


@api.get("/agents/{id}", GET_AGENT, wrap="agent", by_handler=True)
def show_agent(tx: Tx, ctx: Context, id: str) -> dict[str, Any]:
    return find_agent(tx, ctx, id)


@api.get("/availability_zones", GET_ZONES, wrap="availability_zones")
def list_zones(tx: Tx, request: Request) -> list[dict[str, Any]]:
    there = any("network" in host.services for host in hosts.alive(tx))
    zones = [
        {"name": ZONE, "resource": resource, "state": "available" if there else "unavailable"}
        for resource in ("network", "router")
    ]
    return _matching(zones, request)


@api.get("/service-providers", GET_PROVIDERS, wrap="service_providers")
def list_providers() -> list[dict[str, Any]]:
    return [{"service_type": "L3_ROUTER_NAT", "name": "pileus", "default": True}]
