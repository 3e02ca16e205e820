"""The commands that bring a host to what the rows say: of everything, of what changed, of some ports."""

from collections.abc import Mapping, Sequence

from pileus.kernel.db import Tx
from pileus.services.network.commands import EnsureNetworks, Gone, Lacks
from pileus.services.network.model import Port
from pileus.services.network.store import groups, networks, ports, routers, work
from pileus.services.network.store.roles import is_guest
from pileus.services.network.store.specs import CloudView, HostView


def whole(tx: Tx, host: str, cloud: CloudView | None = None) -> EnsureNetworks:
    """Return the command that says all that a host shall have; whatever else is there is to go."""
    view = HostView(tx, host, cloud)
    guests = [port for port in ports.ports_on_host(tx, host) if is_guest(port)]
    routed = routers.routers_on_host(tx, host)
    router_specs = view.routers(routed)
    legs = {leg.network_id for spec in router_specs for leg in (*spec.interfaces, *filter(None, [spec.gateway]))}
    plain, external = view.networks({port.network_id for port in guests} | legs)
    rules = view.rules(_groups(view, guests))
    return EnsureNetworks(
        stamp=view.stamp(),
        networks=plain,
        externals=external,
        rules=rules,
        members=view.members(rules, all=True),
        ports=view.ports(guests),
        dhcp=view.dhcp(port.network_id for port in guests),
        routers=router_specs,
        complete=True,
    )


def for_ports(tx: Tx, host: str, rows: Sequence[Port]) -> EnsureNetworks:
    """Return the one command with what a host must know to plug these ports; what it lacks besides it says itself."""
    view = HostView(tx, host)
    network_ids = sorted({row.network_id for row in rows})
    plain, external = view.networks(network_ids)
    rules = view.rules(_groups(view, rows))
    return EnsureNetworks(
        stamp=view.stamp(),
        networks=plain,
        externals=external,
        rules=rules,
        members=view.members(rules),
        ports=view.ports(rows),
        served=view.dhcp(network_ids, ports=False),
    )


def lacking(tx: Tx, host: str, lacks: Lacks) -> EnsureNetworks:
    """Return the command with all of what a host has said it lacks."""
    view = HostView(tx, host)
    return EnsureNetworks(
        stamp=view.stamp(),
        members=tuple(view.changed_members(dict.fromkeys(lacks.groups, 0))),
        dhcp=view.dhcp(lacks.dhcp),
    )


def changed(
    tx: Tx,
    host: str,
    rows: Sequence[work.Pending],
    behind: Mapping[str, int],
    cloud: CloudView | None = None,
) -> EnsureNetworks:
    """Return the command with the present state of whatever a host has not been told yet.

    ``behind``: groups of whose members it has not been told all, and up to where it has.
    """
    ids = {kind: sorted({row.resource_id for row in rows if row.kind == kind}) for kind in work.KINDS}
    view = HostView(tx, host, cloud)
    found = ports.ports(tx, ids[work.PORT])
    told = [port for port in found.values() if port.binding_host == host and is_guest(port)]
    routed = {row.id: row for row in routers.routers_on_host(tx, host)} if ids[work.ROUTER] else {}
    specs = view.routers([routed[id] for id in ids[work.ROUTER] if id in routed])
    legs = {leg.network_id for spec in specs for leg in (*spec.interfaces, *filter(None, [spec.gateway]))}
    asked = sorted({*ids[work.NETWORK], *ids[work.DHCP], *ids[work.SERVED]})
    carried = ports.carried_networks(tx, host, asked) & networks.networks(tx, asked).keys()
    plain, external = view.networks(legs | {port.network_id for port in told} | carried)
    rules = view.rules(_groups(view, told) | groups.groups_at(tx, host, ids[work.GROUP]))
    members = {one.id: one for one in (*view.members(rules), *view.changed_members(behind))}
    dhcp = view.dhcp(ids[work.DHCP])
    whole_dhcp = {spec.network_id for spec in dhcp}
    served = view.dhcp(({*ids[work.SERVED]} | {port.network_id for port in told}) - whole_dhcp, ports=False)
    there, serving = {port.id for port in told}, whole_dhcp | {spec.network_id for spec in served}
    return EnsureNetworks(
        stamp=view.stamp(),
        networks=plain,
        externals=external,
        rules=rules,
        members=tuple(members.values()),
        ports=view.ports(told),
        dhcp=dhcp,
        served=served,
        routers=specs,
        gone=Gone(
            routers=tuple(id for id in ids[work.ROUTER] if id not in routed),
            dhcp=tuple(id for id in sorted({*ids[work.DHCP], *ids[work.SERVED]}) if id not in serving),
            ports=tuple(id for id in ids[work.PORT] if id not in there),
            networks=tuple(id for id in asked if id not in carried),
        ),
    )


def _groups(view: HostView, rows: Sequence[Port]) -> set[str]:
    """Return the groups that ports are in."""
    member = view.member_of([row.id for row in rows])
    return {group_id for row in rows for group_id in member.get(row.id, ())}
