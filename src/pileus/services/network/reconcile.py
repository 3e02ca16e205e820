"""Tells hosts what changed, and now and then everything.

Rule: what is sent is built from the rows at the moment of sending, so a host can be late but never wrong for long.
"""

import asyncio
import logging
from dataclasses import dataclass
from datetime import timedelta

from pileus.kernel import clock
from pileus.kernel.agent import hosts
from pileus.kernel.db import Tx
from pileus.kernel.errors import ApiError
from pileus.kernel.reconcile import World, reconciler
from pileus.services.network.commands import EnsureNetworks
from pileus.services.network.model import HostState
from pileus.services.network.store import plans, routers, stamps, wiring, work
from pileus.services.network.store.specs import CloudView

HOSTS = "network.hosts"
EVERYTHING_EVERY = timedelta(minutes=10)
PATIENCE_S = 120.0
GATHER_S = 0.1
"""How long changes are gathered before hosts are told: a burst of boots becomes one order for each host."""
log = logging.getLogger("pileus.network")


@reconciler(HOSTS, every_s=30, on=("host.up",))
async def tell_hosts(world: World) -> None:
    """Bring every host that is up to what the rows say; one that fails does not hold up the others."""
    await clock.sleep(GATHER_S)
    if await world.db.read(routers.routers_without_host):
        await world.db.write(place_routers)
    orders = await world.db.read(next_orders)
    results = await asyncio.gather(*(tell_host(world, order) for order in orders), return_exceptions=True)
    failed = [result for result in results if isinstance(result, BaseException)]
    if failed:
        raise failed[0]


def place_routers(tx: Tx) -> None:
    """Give routers without a host the one that carries routers, once there is one."""
    waiting = routers.routers_without_host(tx)
    there = [host for host in hosts.alive(tx) if "network" in host.services] if waiting else []
    if not there:
        return
    stamps.advance(tx)
    for router in waiting:
        router.host = there[0].name
        for leg in routers.legs(tx, router.id):
            leg.binding_host = router.host
    work.add(tx, there[0].name, work.ROUTER, [router.id for router in waiting])


def hosts_to_tell(tx: Tx) -> list[hosts.HostRow]:
    """Return the hosts that are up and have something to be told, or have not been told everything for long."""
    pending = set(work.hosts(tx))
    return [host for host in hosts.alive(tx, "network") if host.name in pending or _needs_all(tx, host)]


def _needs_all(tx: Tx, host: hosts.HostRow) -> bool:
    state = tx.get(HostState, host.name)
    return state is None or state.boot_id != host.boot_id or state.told_at < clock.now() - EVERYTHING_EVERY


@dataclass(frozen=True)
class Order:
    """What to send to a host, the work that settles, and the agent process it is meant for."""

    host: str
    command: EnsureNetworks
    work_ids: list[str]
    boot_id: str


async def tell_host(world: World, order: Order) -> None:
    """Send one host what it has not been told; keep the work until it has obeyed."""
    try:
        await world.bus.call(order.host, order.command, timeout_s=PATIENCE_S)
    except ApiError as error:
        log.warning("host %s did not take its networks: %s", order.host, error.message, extra={"host": order.host})
        raise
    await world.db.write(obeyed, order)


def next_orders(tx: Tx) -> list[Order]:
    """Return the orders for all hosts to be told; drawn up in one transaction, since hosts share most of it."""
    cloud = CloudView(tx)
    return [next_order(tx, host, cloud) for host in hosts_to_tell(tx)]


def next_order(tx: Tx, host: hosts.HostRow, cloud: CloudView) -> Order:
    """Return the order for one host."""
    pending = work.of_host(tx, host.name)
    all_of_it = _needs_all(tx, host)
    command = plans.whole(tx, host.name, cloud) if all_of_it else plans.changed(tx, host.name, pending, cloud)
    return Order(host.name, command, [row.id for row in pending], host.boot_id)


def obeyed(tx: Tx, order: Order) -> None:
    """Record that a host is as the command says."""
    name, command, boot_id = order.host, order.command, order.boot_id
    work.done(tx, order.work_ids)
    wiring.ports_plugged(tx, name, [spec.id for spec in command.ports])
    wiring.dhcp_gone(tx, name, command.gone.dhcp)
    wiring.routers_made(tx, command.routers)
    if command.complete:
        state = tx.get(HostState, name)
        if state is None:
            tx.add(HostState(host=name, boot_id=boot_id, told_at=clock.now()))
        else:
            state.boot_id, state.told_at = boot_id, clock.now()
