"""Plugging ports into servers and taking them out, live."""

import msgspec

from pileus.kernel.db import Tx
from pileus.kernel.errors import NotFound
from pileus.kernel.operations import Operation, operation
from pileus.services.compute import ports
from pileus.services.compute.commands import EnsureNicAttached, EnsureNicDetached
from pileus.services.compute.ending import changed
from pileus.services.compute.guests import nic_of, wires_by_port
from pileus.services.compute.store import servers as store
from pileus.services.compute.wanted import NicInput


def attach_failed(tx: Tx, input: NicInput, reason: str) -> None:
    """The port is given back, or deleted if it was made for this."""
    _unplug(tx, input)
    changed(tx, input.server_id, "attach_interface")


@operation("server.attach_interface", input=NicInput, deadline_s=300, on_failure=attach_failed, part=NicInput.part)
async def attach_interface(op: Operation, input: NicInput) -> None:
    """Wire the port on the server's host and plug it in."""
    if input.host is None:
        raise NotFound(f"Instance {input.server_id} is on no host.")
    nic = await op.commit("find", find_nic, input)
    wires = wires_by_port(await ports.wire(op, input.host, [input.port_id]), [input.port_id], input.host)
    await op.command(
        "plug",
        input.host,
        EnsureNicAttached(guest_id=input.server_id, nic=nic_of(input.port_id, nic.mac, wires[input.port_id])),
        undo=EnsureNicDetached(guest_id=input.server_id, port_id=input.port_id),
    )
    await op.finish(attached, input)


class Card(msgspec.Struct, frozen=True):
    """A card as its host needs it beside its wire."""

    mac: str


def find_nic(tx: Tx, input: NicInput) -> Card:
    """Return the card of a port, carried by the server's host from now on."""
    nic = store.get_nic(tx, input.port_id)
    if nic is None or input.host is None:
        raise NotFound(f"Port {input.port_id} is not a card of any server.")
    ports.bind(tx, [nic.port_id], input.host)
    return Card(nic.mac)


def attached(tx: Tx, input: NicInput) -> None:
    """The port is active."""
    if input.host is not None:
        ports.mark_wired(tx, [input.port_id], input.host)
    changed(tx, input.server_id, "attach_interface")


def detach_failed(tx: Tx, input: NicInput, reason: str) -> None:
    """The guest still has the card."""
    changed(tx, input.server_id, "detach_interface")


@operation(
    "server.detach_interface",
    input=NicInput,
    deadline_s=300,
    cancellable=False,
    on_failure=detach_failed,
    part=NicInput.part,
)
async def detach_interface(op: Operation, input: NicInput) -> None:
    """Unplug the card, then give back its port; if that fails, the guest gets it back."""
    if input.host is not None:
        card = await op.commit("find", find_plugged, input)
        wires = await ports.wire(op, input.host, [input.port_id]) if card is not None else []
        nics = [nic_of(wire.port_id, card.mac, wire) for wire in wires if card is not None]
        await op.command(
            "unplug",
            input.host,
            EnsureNicDetached(guest_id=input.server_id, port_id=input.port_id),
            undo=EnsureNicAttached(guest_id=input.server_id, nic=nics[0]) if nics else None,
        )
    await op.finish(detached, input)


def find_plugged(tx: Tx, input: NicInput) -> Card | None:
    """Return the card as its host has it; None when its port was deleted meanwhile."""
    nic = store.get_nic(tx, input.port_id)
    if nic is None or input.host is None:
        return None
    return Card(nic.mac)


def detached(tx: Tx, input: NicInput) -> None:
    """The port is given back."""
    _unplug(tx, input)
    changed(tx, input.server_id, "detach_interface")


def _unplug(tx: Tx, input: NicInput) -> None:
    server, nic = store.get_server(tx, input.server_id), store.get_nic(tx, input.port_id)
    if server is not None and nic is not None:
        ports.unplug(tx, server, nic)
