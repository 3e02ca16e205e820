"""Choosing a host and claiming its room, in the transaction of the step that needs it."""

from typing import Any

from pileus.kernel.db import Tx
from pileus.services.compute import inventory
from pileus.services.compute.enrolment import enrol, unknown_hosts
from pileus.services.compute.model import Server
from pileus.services.compute.operations.candidates import best_host
from pileus.services.compute.scheduler import Demand, NoValidHost
from pileus.services.compute.settings import ComputeSettings
from pileus.services.compute.store import catalog, hosts
from pileus.services.compute.store import servers as store


def place(
    tx: Tx,
    server: Server,
    settings: ComputeSettings,
    *,
    host: str | None = None,
    forced: bool = False,
    exclude: frozenset[str] = frozenset(),
) -> None:
    """Give the server a host and allocate there what its flavor needs; raise NoValidHost, saying why.

    A host whose agent has just come is enrolled where no other will do: a boot need not wait for the reconciler.
    """
    demand = demand_of(tx, server, server.flavor, host=host, forced=forced, exclude=exclude)
    try:
        chosen = best_host(tx, demand)
    except NoValidHost:
        if not unknown_hosts(tx):
            raise
        enrol(tx, settings)
        chosen = best_host(tx, demand)
    allocate(tx, server.id, chosen.name, demand.resources, server)
    store.touch(server, host=chosen.name, availability_zone=chosen.zone)


def allocate(tx: Tx, consumer_id: str, host: str, resources: dict[str, int], server: Server) -> None:
    """Allocate room on a host for a consumer: a server, or a migration that holds what the server may go back to."""
    row = hosts.get_host(tx, host)
    assert row is not None, "a candidate is a row"
    inventory.claim(tx, consumer_id, row.id, resources, server.project_id, server.user_id)


def resources_of(flavor: dict[str, Any], *, local_root: bool) -> dict[str, int]:
    """Return what a flavor takes from a host, by resource class; extra specs ``resources:X`` override."""
    disk = (flavor["disk"] if local_root else 0) + flavor["ephemeral"] + -(-flavor["swap"] // 1024)
    found = {"VCPU": flavor["vcpus"], "MEMORY_MB": flavor["ram"], "DISK_GB": disk}
    for key, value in flavor["extra_specs"].items():
        if key.startswith("resources:") and str(value).isdigit():
            found[key.removeprefix("resources:")] = int(value)
    return {name: amount for name, amount in found.items() if amount}


def demand_of(
    tx: Tx,
    server: Server,
    flavor: dict[str, Any],
    *,
    host: str | None = None,
    forced: bool = False,
    exclude: frozenset[str] = frozenset(),
) -> Demand:
    """Return what the server asks of its host."""
    hints = server.hints or {}
    group = catalog.get_group(tx, server.group_id) if server.group_id else None
    others: dict[str, int] = {}
    if group is not None:
        for id, where in catalog.members(tx, [group.id]).get(group.id, []):
            if where is not None and id != server.id:
                others[where] = others.get(where, 0) + 1
    return Demand(
        resources=resources_of(flavor, local_root=server.image_id is not None),
        zone=server.pinned_availability_zone,
        host=host,
        forced=forced,
        exclude=exclude,
        extra_specs=flavor["extra_specs"],
        image_properties=server.image.get("properties", {}),
        different_from=servers_of_hint(tx, server, hints.get("different_host")),
        same_as=servers_of_hint(tx, server, hints["same_host"]) if hints.get("same_host") else None,
        group_policy=group.policy if group else None,
        group_hosts=others,
        max_per_host=int(group.rules.get("max_server_per_host", 1)) if group else 1,
        project_id=server.project_id,
    )


def servers_of_hint(tx: Tx, server: Server, wanted: Any) -> frozenset[str]:
    """Return the hosts of the servers of the same project that a hint names.

    Another project's count for nothing: nobody gets next to somebody else's guest by knowing its id.
    """
    names = [wanted] if isinstance(wanted, str) else (wanted or [])
    found = (store.get_server(tx, name) for name in names)
    own = (one for one in found if one is not None and one.project_id == server.project_id)
    return frozenset(one.host for one in own if one.host)
