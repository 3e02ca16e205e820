"""Making a server's guest anew from its rows, wherever its host has got to."""

from pileus.kernel.errors import Conflict, Unavailable
from pileus.kernel.operations import Operation
from pileus.services.compute import images, ports
from pileus.services.compute.commands import EnsureGuest, EnsureGuestGone, GuestFacts, PowerGuestOff
from pileus.services.compute.guests import GuestPlan, spec_of


async def revive(
    op: Operation, plan: GuestPlan, *, running: bool = True, name: str = "guest", removable: bool = False
) -> GuestFacts:
    """Wire the ports and make the guest as planned; a guest that is there already only gets what it lacks.

    ``removable``: the guest is new on its host, and goes again if the operation fails later.
    """
    path, wires = await op.together(
        images.ensure_on_host(op, plan.host, plan.image_id, step=f"{name} image"),
        ports.wire(op, plan.host, plan.port_ids, step=f"{name} ports"),
    )
    undo = EnsureGuestGone(guest_id=plan.server_id) if removable else None
    guest = EnsureGuest(spec=spec_of(plan, wires, path, []), running=running)
    return await op.command(name, plan.host, guest, undo=undo)


async def restore(op: Operation, plan: GuestPlan, *, running: bool) -> None:
    """Do the same while a step is undone: make a guest that was changed what it was, though it may be running."""
    wires = await ports.wire_again(op, plan.host, plan.port_ids)
    try:
        path = await images.path_on_host(op, plan.image_id)
    except Unavailable:
        path = None  # the image has gone since; the guest has its disk
    guest = EnsureGuest(spec=spec_of(plan, wires, path, []), running=running)
    try:
        await op.tell(plan.host, guest)
    except Conflict:  # it runs in the size that is being taken back
        await op.tell(plan.host, PowerGuestOff(guest_id=plan.server_id, timeout_s=0.0))
        await op.tell(plan.host, guest)
