"""What guests hold of cards and volumes, settled with what the rows give them.

Rule: a guest loses a card that no row gives it: its port was deleted.  What it lacks is taken from its rows only where
its owner last asked for just that, in a detachment that failed; whatever else it lacks is told, not settled.
"""

import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple

import msgspec

from pileus.kernel import clock
from pileus.kernel.db import Tx
from pileus.kernel.operations import OperationRow, begin, find_live
from pileus.services.compute.acting import acting
from pileus.services.compute.commands import GuestFacts
from pileus.services.compute.lifecycle import DETACH_INTERFACE
from pileus.services.compute.model import Server
from pileus.services.compute.store import servers as store
from pileus.services.compute.volumes import begin_detaching
from pileus.services.compute.wanted import NicInput, VolumeInput

log = logging.getLogger("pileus.compute")
UNPLUG = "server.detach_interface"
INPUTS: dict[str, type[NicInput | VolumeInput]] = {
    UNPLUG: NicInput,
    "server.detach_volume": VolumeInput,
}
PATIENCE = timedelta(minutes=10)
"""How long a guest that held on to a card is left alone before it is asked again."""


def settle(tx: Tx, servers: Sequence[Server], guests: Mapping[str, GuestFacts]) -> None:
    """Compare what idle servers' guests hold with their rows; each server has one thing mended at a time."""
    held = store.plugged(tx, [server.id for server in servers if server.id in guests])
    for server in servers:
        guest = guests.get(server.id)
        if guest is None:
            continue
        wanted = held.get(server.id, set())
        if missing := wanted - {*guest.nics, *guest.disks}:
            _carry_through(tx, server, missing)
        elif lost := sorted(set(guest.nics) - wanted):
            take_out(tx, server, lost[0])


def take_out(tx: Tx, server: Server, port_id: str) -> None:
    """Have a server's guest let go of the card of a port that is gone, unless it is not the time for it."""
    resource = store.resource_of(server.id)
    if (
        server.host is None
        or not DETACH_INTERFACE.allowed(server.vm_state, server.task_state)
        or find_live(tx, resource)
    ):
        return
    failed = _failed_detachment(tx, server)
    if failed is not None and failed.device == port_id and failed.row.created_at > clock.now() - PATIENCE:
        return
    begin(tx, None, UNPLUG, resource, NicInput(server_id=server.id, host=server.host, port_id=port_id))
    log.info("port %s is gone: server %s loses its card", port_id, server.id, extra={"server_id": server.id})


def _carry_through(tx: Tx, server: Server, missing: set[str]) -> None:
    """Begin a detachment again that failed, and whose guest let go all the same."""
    failed = _failed_detachment(tx, server)
    if failed is None or failed.device not in missing:
        told = ", ".join(sorted(missing))
        log.warning("the guest of server %s lacks %s", server.id, told, extra={"server_id": server.id})
        return
    if isinstance(failed.input, VolumeInput):
        begin_detaching(tx, acting(server), failed.device, server.id)
    begin(tx, None, failed.row.kind, failed.row.resource, failed.input)
    log.info("%s of server %s is carried through", failed.row.kind, server.id, extra={"server_id": server.id})


class Detachment(NamedTuple):
    """A detachment that failed, and the port or volume it was to take out."""

    row: OperationRow
    input: NicInput | VolumeInput
    device: str


def _failed_detachment(tx: Tx, server: Server) -> Detachment | None:
    """Return the last thing done to a server, if that was a detachment and failed."""
    last = store.last_action(tx, server.id)
    told = INPUTS.get(last.kind) if last is not None else None
    if last is None or told is None or last.state != "failed":
        return None
    input = msgspec.json.decode(last.input, type=told)
    return Detachment(last, input, input.volume_id if isinstance(input, VolumeInput) else input.port_id)
