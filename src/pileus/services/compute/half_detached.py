"""Detachments that failed, and whose guest lets go late of a card or a volume that the rows still give it.

Rule: only what its owner last asked to be taken out is taken out; whatever else a guest lacks is told, not settled.
"""

import logging
from collections.abc import Mapping, Sequence

import msgspec

from pileus.kernel.db import Tx
from pileus.kernel.operations import OperationRow, begin
from pileus.services.compute.acting import acting
from pileus.services.compute.commands import GuestFacts
from pileus.services.compute.model import Server
from pileus.services.compute.store import servers as store
from pileus.services.compute.volumes import begin_detaching
from pileus.services.compute.wanted import NicInput, VolumeInput

log = logging.getLogger("pileus.compute")
INPUTS: dict[str, type[NicInput | VolumeInput]] = {
    "server.detach_interface": NicInput,
    "server.detach_volume": VolumeInput,
}


def carry_through(tx: Tx, servers: Sequence[Server], guests: Mapping[str, GuestFacts]) -> None:
    """Take out once more what idle servers' guests have let go of."""
    held = store.plugged(tx, [server.id for server in servers if server.id in guests])
    for server in servers:
        guest = guests.get(server.id)
        missing = held.get(server.id, set()) - {*guest.nics, *guest.disks} if guest is not None else set()
        if missing:
            _again(tx, server, missing)


def _again(tx: Tx, server: Server, missing: set[str]) -> None:
    last = store.last_action(tx, server.id)
    input = _input(last) if last is not None else None
    if last is None or input is None or _taken_out(input) not in missing:
        told = ", ".join(sorted(missing))
        log.warning("the guest of server %s lacks %s", server.id, told, extra={"server_id": server.id})
        return
    if isinstance(input, VolumeInput):
        begin_detaching(tx, acting(server), input.volume_id, server.id)
    begin(tx, None, last.kind, last.resource, input)
    log.info("%s of server %s is carried through", last.kind, server.id, extra={"server_id": server.id})


def _input(last: OperationRow) -> NicInput | VolumeInput | None:
    """Return what a detachment that failed was told."""
    told = INPUTS.get(last.kind)
    return msgspec.json.decode(last.input, type=told) if told is not None and last.state == "failed" else None


def _taken_out(input: NicInput | VolumeInput) -> str:
    return input.volume_id if isinstance(input, VolumeInput) else input.port_id
