"""Drift between what is wanted and what is on the hosts, settled.

Rule: an unknown guest is reported, never destroyed; a guest is started again only if its server was running when
its host went down.
"""

import logging

from pileus.kernel.agent import hosts as kernel_hosts
from pileus.kernel.db import Tx
from pileus.kernel.errors import ApiError, Conflict
from pileus.kernel.operations import begin, find_live
from pileus.kernel.reconcile import World, reconciler
from pileus.kernel.runtime import runtime_of
from pileus.services.compute import lifecycle
from pileus.services.compute.agent import GUEST_CHANGED
from pileus.services.compute.commands import EnsureGuestGone, GuestFacts, ListGuests, Power
from pileus.services.compute.ending import changed
from pileus.services.compute.enrolment import enrol
from pileus.services.compute.model import CRASHED, PAUSED, RUNNING, SHUT_DOWN, SUSPENDED, Server
from pileus.services.compute.reconcile import devices
from pileus.services.compute.settings import ComputeSettings
from pileus.services.compute.store import hosts
from pileus.services.compute.store import servers as store
from pileus.services.compute.wanted import ServerInput

log = logging.getLogger("pileus.compute")
WHOLE = {lifecycle.ACTIVE, lifecycle.STOPPED, lifecycle.PAUSED, lifecycle.SUSPENDED}
"""States in which a server's guest has all that the rows give it."""
POWER = {
    Power.RUNNING: RUNNING,
    Power.PAUSED: PAUSED,
    Power.OFF: SHUT_DOWN,
    Power.SUSPENDED: SUSPENDED,
    Power.CRASHED: CRASHED,
}
STATES = {RUNNING: lifecycle.ACTIVE, PAUSED: lifecycle.PAUSED, SUSPENDED: lifecycle.SUSPENDED}
"""What a server is whose guest has its memory; a verb that failed may have left it in another of these."""


@reconciler("compute.hosts", every_s=60, on=("host.up",))
async def settle_hosts(world: World) -> None:
    """Give every host that reports guests a row, and tell Placement what it has."""
    await world.db.write(enrol, runtime_of(world.db).config.get(ComputeSettings))


@reconciler("compute.guests", every_s=30, on=("host.up", GUEST_CHANGED))
async def settle_guests(world: World) -> None:
    """Compare each host's guests with its servers."""
    for host in await world.db.read(_up):
        try:
            guests = await world.bus.call(host, ListGuests(), timeout_s=20)
        except ApiError as error:
            log.warning("host %s does not tell its guests: %s", host, error.message)
            continue
        for guest_id in await world.db.write(compare, host, guests):
            await world.bus.call(host, EnsureGuestGone(guest_id=guest_id), timeout_s=60)


def _up(tx: Tx) -> list[str]:
    return sorted(hosts.alive(tx))


def compare(tx: Tx, host: str, guests: list[GuestFacts]) -> list[str]:
    """Settle one host's servers with its guests; return the guests of deleted servers, which may go."""
    row, agent = hosts.get_host(tx, host), kernel_hosts.get(tx, host)
    if row is None:
        return []
    boot_id = agent.facts.get("compute", {}).get("boot_id", row.boot_id)
    restarted = row.boot_id not in ("", boot_id)
    found = {guest.id: guest for guest in guests}
    servers = {server.id: server for server in store.list_of_host(tx, host)}
    idle = [server for server in servers.values() if not _busy(tx, server)]
    for server in idle:
        _settle(tx, server, found.get(server.id), restarted=restarted)
    settled = [server for server in idle if server.vm_state in WHOLE and not _busy(tx, server)]
    devices.settle(tx, settled, found)
    row.boot_id = boot_id
    strays = [guest_id for guest_id in found if guest_id not in servers]
    gone = [guest_id for guest_id in strays if _is_left_over(tx, host, guest_id)]
    unknown = [guest_id for guest_id in strays if store.get_server(tx, guest_id) is None]
    for guest_id in unknown:
        if store.put_stray(tx, host, guest_id):
            log.warning("host %s runs guest %s, which no server stands for; it is left alone", host, guest_id)
    store.keep_strays(tx, host, unknown)
    return gone


def _busy(tx: Tx, server: Server) -> bool:
    return server.task_state is not None or find_live(tx, store.resource_of(server.id)) is not None


def _is_left_over(tx: Tx, host: str, guest_id: str) -> bool:
    """Tell whether a guest belongs to a server that was deleted while its host was away."""
    server = store.get_server(tx, guest_id)
    if server is None or server.deleted_at is None:
        return False
    return find_live(tx, store.resource_of(guest_id)) is None


def _settle(tx: Tx, server: Server, guest: GuestFacts | None, *, restarted: bool) -> None:
    """Bring one idle server's row to its guest, or its guest to its row."""
    wants = server.vm_state == lifecycle.ACTIVE
    power = POWER[guest.power] if guest is not None else SHUT_DOWN
    if wants and power in (SHUT_DOWN, CRASHED):
        if restarted:
            _start_again(tx, server)
        else:
            _note(tx, server, lifecycle.STOPPED, power)
    elif server.vm_state == lifecycle.STOPPED and power == RUNNING:
        _note(tx, server, lifecycle.ACTIVE, power)
    elif server.vm_state in STATES.values() and power in STATES and _differs(server, power):
        _note(tx, server, STATES[power], power)


def _differs(server: Server, power: int) -> bool:
    return (server.vm_state, server.power_state) != (STATES[power], power)


def _note(tx: Tx, server: Server, state: str, power: int) -> None:
    log.info("server %s is found %s", server.id, state, extra={"server_id": server.id})
    store.touch(server, vm_state=state, power_state=power)
    tx.flush()
    changed(tx, server.id, "found")


def _start_again(tx: Tx, server: Server) -> None:
    """Start a server whose host came back without it."""
    try:
        store.touch(server, vm_state=lifecycle.STOPPED, power_state=SHUT_DOWN)
        lifecycle.claim(tx, lifecycle.START, server)
        given = ServerInput(server_id=server.id, host=server.host)
        begin(tx, None, "server.start", store.resource_of(server.id), given)
        log.info("server %s is started again with its host", server.id, extra={"server_id": server.id})
    except Conflict as error:
        log.info("server %s is not started again: %s", server.id, error.message)
