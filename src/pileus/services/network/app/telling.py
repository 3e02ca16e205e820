"""Which hosts have to be told of a change.  Rule: noted with the change; a reconciler tells them from the rows."""

from collections.abc import Iterable, Mapping, Sequence

from pileus.kernel.db import Tx
from pileus.kernel.reconcile import nudge
from pileus.services.network.model import Port, Router
from pileus.services.network.reconcile import HOSTS
from pileus.services.network.store import groups, members, networks, ports, routers, stamps, tunnels, work


def tell(tx: Tx, host: str, kind: str, ids: Iterable[str]) -> None:
    """Have a host told of these things as they will be after this transaction."""
    stamps.advance(tx)
    work.add(tx, host, kind, ids)
    nudge(tx, HOSTS)


def groups_changed(tx: Tx, group_ids: Sequence[str]) -> None:
    """Tell every host that carries ports of these groups of their rules."""
    by_host: dict[str, list[str]] = {}
    for group_id, hosts in groups.hosts_with(tx, group_ids).items() if group_ids else ():
        for host in hosts:
            by_host.setdefault(host, []).append(group_id)
    for host, ids in by_host.items():
        tell(tx, host, work.GROUP, ids)


def members_changed(tx: Tx, groups_of_ports: Mapping[str, Iterable[str]]) -> None:
    """Tell the hosts that let these groups' members in or out by name that ports have changed there.

    A port that no host carries is no member yet: nobody has to be told of it.
    """
    if members.note(tx, groups_of_ports):
        nudge(tx, HOSTS)


def port_changed(tx: Tx, port: Port) -> None:
    """Tell the host that carries a port."""
    if port.binding_host:
        tell(tx, port.binding_host, work.PORT, [port.id])
        tell(tx, port.binding_host, work.SERVED, [port.network_id])
        peers_changed(tx, port.network_id, port.binding_host)


def peers_changed(tx: Tx, network_id: str, host: str) -> None:
    """Tell the other hosts that carry a network that ``host`` carries a port of it now, or no longer.

    Only hosts that reach each other through tunnels have to know of each other.
    """
    ends = tunnels.ends(tx)
    network = networks.get_network(tx, network_id) if host in ends else None
    if network is None or network.network_type != "vxlan":
        return
    for other in (ports.hosts_of_network(tx, network_id) & ends.keys()) - {host}:
        tell(tx, other, work.NETWORK, [network_id])


def network_changed(tx: Tx, network_id: str) -> None:
    """Tell every host that carries a network of the network itself, its subnets, its DHCP and its routers."""
    tx.flush()
    for host in ports.hosts_of_network(tx, network_id):
        tell(tx, host, work.NETWORK, [network_id])
        tell(tx, host, work.DHCP, [network_id])
    for router in routers.routers(tx, sorted(routers.routers_of_networks(tx, [network_id]))).values():
        router_changed(tx, router)


def router_changed(tx: Tx, router: Router) -> None:
    """Tell the host that carries a router; have one chosen when there is none yet."""
    if router.host:
        tell(tx, router.host, work.ROUTER, [router.id])
    else:
        nudge(tx, HOSTS)
