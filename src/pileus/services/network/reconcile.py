"""Tells hosts what changed, and now and then everything.

Rule: what is sent is built from the rows at the moment of sending, so a host can be late but never wrong for long.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import bindparam, select

from pileus.kernel import clock
from pileus.kernel.agent import hosts
from pileus.kernel.db import Tx
from pileus.kernel.errors import ApiError
from pileus.kernel.reconcile import World, nudge, reconciler
from pileus.services.network.commands import EnsureNetworks, FindNetworkDrift, Lacks
from pileus.services.network.model import HostState
from pileus.services.network.store import members, plans, ports, routers, stamps, wiring, work
from pileus.services.network.store.specs import CloudView
from pileus.services.network.wanted import Drift

HOSTS = "network.hosts"
EVERYTHING_EVERY = timedelta(minutes=10)
CHANGES_KEPT = timedelta(hours=1)
"""A host that has not been heard of for longer is told the whole of groups that changed meanwhile."""
PATIENCE_S = 120.0
DRIFT_EVERY_S = 30
"""How long something that was taken away by hand stays unnoticed at most, while the host can be asked."""
DRIFT_TIMEOUT_S = 30.0
GATHER_S = 0.1
"""How long changes are gathered before hosts are told: a burst of boots becomes one order for each host."""
log = logging.getLogger("pileus.network")


@reconciler(HOSTS, every_s=30, on=("host.up",))
async def tell_hosts(world: World) -> None:
    """Bring every host that is up to what the rows say; one that fails does not hold up the others."""
    await clock.sleep(GATHER_S)
    if await world.db.read(routers.routers_without_host):
        await world.db.write(place_routers)
    tasks = [asyncio.create_task(tell_host(world, order)) for order in await world.db.read(next_orders)]
    under_way = set(tasks)
    failed: list[BaseException] = []
    try:
        while under_way:
            finished, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
            ended = [task for task in tasks if task in finished]
            failed += [error for task in ended if (error := task.exception()) is not None]
            if done := [task.result() for task in ended if task.exception() is None]:
                await world.db.write(all_obeyed, done)
    finally:
        for task in tasks:
            task.cancel()
    if failed:
        raise failed[0]


@reconciler("network.drift", every_s=DRIFT_EVERY_S)
async def find_drift(world: World) -> None:
    """Ask every host what it has lost of what it made; one that has lost something is told everything anew."""
    await world.db.write(_tidy)
    for host in await world.db.read(_carriers):
        try:
            drift = await world.bus.call(host, FindNetworkDrift(), timeout_s=DRIFT_TIMEOUT_S)
        except ApiError as error:
            log.warning("host %s does not tell what it has lost: %s", host, error.message, extra={"host": host})
            continue
        if drift.lost or drift.healed:
            await world.db.write(drifted, host, drift)


def _tidy(tx: Tx) -> None:
    """Forget what is kept for hosts that are none, or that were away for too long to be told it bit by bit."""
    work.drop_unregistered(tx)
    members.drop_unregistered(tx)
    members.expire(tx, clock.now() - CHANGES_KEPT)
    members.settle(tx)


def drifted(tx: Tx, host: str, drift: Drift) -> None:
    """Have the API say what a host has lost, and have the host told everything anew."""
    wiring.lost(tx, host, drift.lost)
    wiring.ports_plugged(tx, host, drift.healed)
    named = [str(one) for one in drift.lost]
    told = "; ".join(named[:10]) + (f"; and {len(named) - 10} more" if len(named) > 10 else "")
    if any(one.kind != "plugs" for one in drift.lost):
        log.warning("host %s has lost something and is told everything anew: %s", host, told, extra={"host": host})
        distrust(tx, host)
    elif drift.lost:
        log.warning("guests on host %s are cut off until they are rebooted hard: %s", host, told, extra={"host": host})


def _carriers(tx: Tx) -> list[str]:
    return sorted(hosts.running(tx, "network"))


def distrust(tx: Tx, host: str) -> None:
    """Have a host told everything at once."""
    state = tx.get(HostState, host)
    if state is not None:
        state.told_at = clock.now() - 2 * EVERYTHING_EVERY
    nudge(tx, HOSTS)


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


@dataclass(frozen=True)
class Order:
    """What to send to a host, the work that settles, and the agent process it is meant for."""

    host: str
    command: EnsureNetworks
    work_ids: list[str]
    boot_id: str


@dataclass(frozen=True)
class Obeyed:
    """An order that was obeyed, and what the host said that it lacks besides."""

    order: Order
    lacks: Lacks


async def tell_host(world: World, order: Order) -> Obeyed:
    """Send one host what it has not been told, and return when it has obeyed; until then the work is kept."""
    try:
        wired = await world.bus.call(order.host, order.command, timeout_s=PATIENCE_S)
    except ApiError as error:
        log.warning("host %s did not take its networks: %s", order.host, error.message, extra={"host": order.host})
        raise
    return Obeyed(order, wired.lacks)


def next_orders(tx: Tx) -> list[Order]:
    """Return the orders for the hosts that are up and have something to be told, or not been told all for long.

    They are drawn up in one transaction, since hosts share most of it.
    """
    cloud, pending, behind, told = CloudView(tx), work.pending(tx), members.pending(tx), _told_all(tx)
    found: list[Order] = []
    for host, boot_id in hosts.running(tx, "network").items():
        mine = pending.get(host, [])
        if told.get(host) != boot_id:
            command = plans.whole(tx, host, cloud)
        elif mine or host in behind:
            command = plans.changed(tx, host, mine, behind.get(host, {}), cloud)
        else:
            continue
        found.append(Order(host, command, [one.id for one in mine], boot_id))
    return found


def _told_all(tx: Tx) -> dict[str, str]:
    """Return the agent processes that have been told everything not long ago, by host."""
    rows = tx.connection().execute(_TOLD, {"since": clock.now() - EVERYTHING_EVERY})
    return {row.host: row.boot_id for row in rows}


_TOLD = select(HostState.host, HostState.boot_id).where(HostState.told_at >= bindparam("since"))


def all_obeyed(tx: Tx, found: Sequence[Obeyed]) -> None:
    """Record what several hosts have obeyed at about the same time."""
    work.done(tx, [id for one in found for id in one.order.work_ids])
    for one in found:
        _obeyed(tx, one.order)
        members.told(tx, one.order.host, one.order.command.stamp, one.order.command.members)
        if one.lacks:
            _lacks(tx, one.order.host, one.lacks)
    members.settle(tx)


def _lacks(tx: Tx, host: str, lacks: Lacks) -> None:
    """Have a host told the whole of what it lacks."""
    members.want_whole(tx, host, lacks.groups)
    work.add(tx, host, work.DHCP, lacks.dhcp)
    nudge(tx, HOSTS)


def _obeyed(tx: Tx, order: Order) -> None:
    """Record that a host is as the command says."""
    name, command, boot_id = order.host, order.command, order.boot_id
    wiring.ports_plugged(tx, name, [spec.id for spec in command.ports])
    wiring.ports_plugged(tx, name, [spec.port_id for spec in (*command.dhcp, *command.served)])
    wiring.dhcp_gone(tx, name, command.gone.dhcp)
    wiring.routers_made(tx, command.routers)
    if command.complete:
        # What is to go is not named in a command of everything; the rows may still name it.
        members.unfollow(tx, name)
        served = {spec.network_id for spec in command.dhcp}
        wiring.dhcp_gone(tx, name, sorted(ports.networks_with_dhcp_port(tx, name) - served))
        state = tx.get(HostState, name)
        if state is None:
            tx.add(HostState(host=name, boot_id=boot_id, told_at=clock.now()))
        else:
            state.boot_id, state.told_at = boot_id, clock.now()
