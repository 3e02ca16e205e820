"""The commands that bring a host to what the rows say: of everything, of what changed, of some ports."""

from collections.abc import Sequence

from pileus.kernel.db import Tx
from pileus.services.network.commands import EnsureNetworks, Gone
from pileus.services.network.model import DHCP, Port
from pileus.services.network.store import networks, ports, routers, work
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
    member = view.member_of([port.id for port in guests])
    return EnsureNetworks(
        stamp=view.stamp(),
        networks=plain,
        externals=external,
        security_groups=view.groups({group_id for ids in member.values() for group_id in ids}),
        ports=view.ports(guests),
        dhcp=view.dhcp(port.network_id for port in guests),
        routers=router_specs,
        complete=True,
    )


def for_ports(tx: Tx, host: str, rows: Sequence[Port]) -> EnsureNetworks:
    """Return the one command with everything a host must know to plug these ports."""
    view = HostView(tx, host)
    network_ids = sorted({row.network_id for row in rows})
    plain, external = view.networks(network_ids)
    member = view.member_of([row.id for row in rows])
    return EnsureNetworks(
        stamp=view.stamp(),
        networks=plain,
        externals=external,
        security_groups=view.groups({group_id for ids in member.values() for group_id in ids}),
        ports=view.ports(rows),
        dhcp=view.dhcp(network_ids),
    )


def changed(tx: Tx, host: str, rows: Sequence[work.Pending], cloud: CloudView | None = None) -> EnsureNetworks:
    """Return the command with the present state of whatever a host has not been told yet."""
    ids = {kind: sorted({row.resource_id for row in rows if row.kind == kind}) for kind in work.KINDS}
    view = HostView(tx, host, cloud)
    here = ports.ports_on_host(tx, host) if any(ids[kind] for kind in work.KINDS if kind != work.GROUP) else []
    guests = {port.id: port for port in here if is_guest(port)}
    routed = {row.id: row for row in routers.routers_on_host(tx, host)} if ids[work.ROUTER] else {}
    specs = view.routers([routed[id] for id in ids[work.ROUTER] if id in routed])
    told = [guests[id] for id in ids[work.PORT] if id in guests]
    legs = {leg.network_id for spec in specs for leg in (*spec.interfaces, *filter(None, [spec.gateway]))}
    carried = {port.network_id for port in here} & networks.networks(tx, ids[work.NETWORK] + ids[work.DHCP]).keys()
    plain, external = view.networks(legs | {port.network_id for port in told} | carried)
    member = view.member_of([port.id for port in told])
    used = view.groups_here()
    needed = {spec.id: spec for spec in view.groups(used & _with_dependents(view, used, ids[work.GROUP], told, member))}
    dhcp = view.dhcp([*ids[work.DHCP], *(port.network_id for port in told)])
    served = {spec.network_id for spec in dhcp}
    return EnsureNetworks(
        stamp=view.stamp(),
        networks=plain,
        externals=external,
        security_groups=tuple(needed.values()),
        ports=view.ports(told),
        dhcp=dhcp,
        routers=specs,
        gone=Gone(
            routers=tuple(id for id in ids[work.ROUTER] if id not in routed),
            dhcp=tuple(id for id in ids[work.DHCP] if id not in served),
            ports=tuple(id for id in ids[work.PORT] if id not in guests),
            networks=tuple(id for id in (*ids[work.NETWORK], *ids[work.DHCP]) if not _carries(here, id)),
        ),
    )


def _carries(here: Sequence[Port], network_id: str) -> bool:
    """Tell whether a host has a guest or a router on a network; its own DHCP server alone is no reason to stay."""
    return any(port.network_id == network_id and port.role != DHCP for port in here)


def _with_dependents(
    view: HostView, used: set[str], changed_ids: Sequence[str], told: Sequence[Port], member: dict[str, list[str]]
) -> set[str]:
    """Return the groups to send: those that changed, those that name one that did, those of ports to be sent."""
    changed_set = set(changed_ids)
    wanted = {group_id for port in told for group_id in member.get(port.id, [])} | changed_set
    if changed_set:
        for spec in view.groups(used):
            if any(rule.remote_group_id in changed_set for rule in spec.rules):
                wanted.add(spec.id)
    return wanted
