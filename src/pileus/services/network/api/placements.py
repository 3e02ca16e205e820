"""Which host serves what: DHCP servers and routers, seen from either side.  Rule: read from the ports and routers."""

from typing import Any

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.policy import ADMIN, Rule
from pileus.services.network.api.hosts import agents, find_agent
from pileus.services.network.api.networks import networks
from pileus.services.network.api.root import api
from pileus.services.network.api.routers import routers
from pileus.services.network.model import DHCP
from pileus.services.network.store import networks as network_store
from pileus.services.network.store import ports as port_store
from pileus.services.network.store import routers as router_store

DHCP_AGENTS = Rule("get_dhcp-agents", ADMIN, "See which hosts serve DHCP on a network.")
DHCP_NETWORKS = Rule("get_dhcp-networks", ADMIN, "See on which networks a host serves DHCP.")
L3_AGENTS = Rule("get_l3-agents", ADMIN, "See which host carries a router.")
L3_ROUTERS = Rule("get_l3-routers", ADMIN, "See which routers a host carries.")


def _agents_on(tx: Tx, kind: str, names: set[str]) -> list[dict[str, Any]]:
    return [agent for agent in agents(tx) if agent["agent_type"] == kind and agent["host"] in names]


@api.get("/networks/{id}/dhcp-agents", DHCP_AGENTS, wrap="agents")
def dhcp_agents(tx: Tx, ctx: Context, id: str) -> list[dict[str, Any]]:
    network = networks.load(tx, ctx, id)
    return _agents_on(tx, "DHCP agent", {port.binding_host for port in port_store.dhcp_ports(tx, network.id)})


@api.get("/agents/{id}/dhcp-networks", DHCP_NETWORKS, wrap="networks")
def dhcp_networks(tx: Tx, ctx: Context, id: str) -> list[Any]:
    agent = find_agent(tx, ctx, id)
    if agent["agent_type"] != "DHCP agent":
        return []
    here = port_store.ports_on_host(tx, agent["host"])
    served = {port.network_id for port in here if port.role == DHCP}
    return networks.views(tx, ctx, list(network_store.networks(tx, sorted(served)).values()))


@api.get("/routers/{id}/l3-agents", L3_AGENTS, wrap="agents")
def l3_agents(tx: Tx, ctx: Context, id: str) -> list[dict[str, Any]]:
    return _agents_on(tx, "L3 agent", {routers.load(tx, ctx, id).host})


@api.get("/agents/{id}/l3-routers", L3_ROUTERS, wrap="routers")
def l3_routers(tx: Tx, ctx: Context, id: str) -> list[Any]:
    agent = find_agent(tx, ctx, id)
    carried = router_store.routers_on_host(tx, agent["host"]) if agent["agent_type"] == "L3 agent" else []
    return routers.views(tx, ctx, carried)
