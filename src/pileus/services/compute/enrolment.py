"""Making hosts known: a row for what operators decide about them, and their room in Placement."""

import logging

import msgspec

from pileus.kernel import clock, ids
from pileus.kernel.agent import hosts as kernel_hosts
from pileus.kernel.db import Tx
from pileus.services.compute import inventory
from pileus.services.compute.commands import HostFacts
from pileus.services.compute.model import Host
from pileus.services.compute.settings import ComputeSettings
from pileus.services.compute.store import hosts

log = logging.getLogger("pileus.compute")


def unknown_hosts(tx: Tx) -> set[str]:
    """Return the names of the hosts that are up and have no row yet."""
    up = kernel_hosts.running(tx, "compute").keys()
    return up - {host.name for host in hosts.list_hosts(tx)}


def enrol(tx: Tx, settings: ComputeSettings) -> None:
    """Add and update the rows and the inventories of the hosts that are up."""
    for agent in kernel_hosts.alive(tx, "compute"):
        facts = agent.facts.get("compute", {})
        if "vcpus" not in facts:
            log.warning("host %s cannot tell what it has: %s", agent.name, facts.get("error", "no facts"))
            continue
        row = hosts.get_host(tx, agent.name)
        now = clock.now()
        if row is None:
            row = Host(name=agent.name, id=ids.new_id(), number=hosts.next_number(tx), created_at=now, updated_at=now)
            tx.add(row)
            tx.flush()
        told = {name: facts[name] for name in ("vcpus", "memory_mib", "disk_gib")}
        if row.inventory != told:
            known = {name: facts[name] for name in HostFacts.__struct_fields__ if name in facts}
            inventory.offer(tx, row.id, row.name, msgspec.convert(known, HostFacts), settings)
            row.inventory, row.updated_at = told, now
