"""Making a server's guest anew from its rows, wherever its host has got to."""

from pileus.kernel.operations import Operation
from pileus.services.compute import images, ports
from pileus.services.compute.commands import EnsureGuest, GuestFacts
from pileus.services.compute.guests import GuestPlan, spec_of


async def revive(op: Operation, plan: GuestPlan, *, running: bool = True, name: str = "guest") -> GuestFacts:
    """Wire the ports and make the guest as planned; a guest that is there already only gets what it lacks."""
    path, wires = await op.together(
        images.ensure_on_host(op, plan.host, plan.image_id, step=f"{name} image"),
        ports.wire(op, plan.host, plan.wiring, step=f"{name} ports"),
    )
    return await op.command(name, plan.host, EnsureGuest(spec=spec_of(plan, wires, path, []), running=running))
