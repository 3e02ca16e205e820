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
from pileus.kernel.operations import begin
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
PARTS = {UNPLUG: "port", "server.detach_volume": "volume"}
PATIENCE = timedelta(minutes=10)
"""How long a guest that held on to a card is left alone before it is asked again."""


def settle(tx: Tx, servers: Sequence[Server], guests: Mapping[str, GuestFacts]) -> None:
    """Compare what idle servers' guests hold with their rows; what is missing is settled before what is too much."""
    held = store.plugged(tx, [server.id for server in servers if server.id in guests])
    for server in servers:
        guest = guests.get(server.id)
        if guest is None:
            continue
        wanted = held.get(server.id, set())
        if missing := wanted - {*guest.nics, *guest.disks}:
            _carry_through(tx, server, missing)
            continue
        for lost in sorted(set(guest.nics) - wanted):
            take_out(tx, server, lost)


def take_out(tx: Tx, server: Server, port_id: str) -> None:
    """Have a server's guest let go of the card of a port that is gone, unless it is not the time for it."""
    if server.host is None or not DETACH_INTERFACE.allowed(server.vm_state, server.task_state):
        return
    given = NicInput(server_id=server.id, host=server.host, port_id=port_id)
    last = store.last_action(tx, server.id, given.part())
    if last is not None and last.kind == UNPLUG and last.part == given.part():
        recently = last.created_at > clock.now() - PATIENCE
        if last.live_resource is not None or (last.state == "failed" and recently):
            return
    begin(tx, None, UNPLUG, store.resource_of(server.id), given)
    log.info("port %s is gone: server %s loses its card", port_id, server.id, extra={"server_id": server.id})


def _carry_through(tx: Tx, server: Server, missing: set[str]) -> None:
    """Begin detachments again that failed, and whose guest let go all the same."""
    for device in sorted(missing):
        failed = _failed_detachment(tx, server, device)
        if failed is None:
            log.warning("the guest of server %s lacks %s", server.id, device, extra={"server_id": server.id})
            continue
        if isinstance(failed.input, VolumeInput):
            begin_detaching(tx, acting(server), device, server.id)
        begin(tx, None, failed.kind, store.resource_of(server.id), failed.input)
        log.info("%s of server %s is carried through", failed.kind, server.id, extra={"server_id": server.id})


class Detachment(NamedTuple):
    """A detachment that failed."""

    kind: str
    input: NicInput | VolumeInput


def _failed_detachment(tx: Tx, server: Server, device: str) -> Detachment | None:
    """Return the last thing done to a server's port or volume, if that was a detachment and failed."""
    for kind, found in INPUTS.items():
        last = store.last_action(tx, server.id, f"{PARTS[kind]}/{device}")
        if last is not None and last.kind == kind and last.state == "failed":
            return Detachment(kind, msgspec.json.decode(last.input, type=found))
    return None
