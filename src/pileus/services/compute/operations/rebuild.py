"""Rebuilding a server: a new root disk from an image, everything else as it was."""

from pileus.kernel import clock
from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict
from pileus.kernel.operations import Operation, operation
from pileus.services.compute import images
from pileus.services.compute.acting import seeing_as
from pileus.services.compute.commands import EnsureGuestGone
from pileus.services.compute.ending import fail, finish
from pileus.services.compute.guests import GuestPlan, plan_guest
from pileus.services.compute.lifecycle import ACTIVE, REBUILD, STOPPED
from pileus.services.compute.model import RUNNING, SHUT_DOWN
from pileus.services.compute.operations.reviving import revive
from pileus.services.compute.store import servers as store
from pileus.services.compute.wanted import RebuildServer


def rebuild_failed(tx: Tx, input: RebuildServer, reason: str) -> None:
    """The old disk may be gone: the server is in error until it is rebuilt again."""
    fail(tx, REBUILD, input.server_id, reason, broken=True)


@operation("server.rebuild", input=RebuildServer, deadline_s=900, on_failure=rebuild_failed, queues=True)
async def rebuild_server(op: Operation, input: RebuildServer) -> None:
    """Remove the guest with its root disk and make it anew; ports and volumes stay where they are."""
    if input.host is None:
        raise Conflict(f"Instance {input.server_id} is on no host: it was never built; delete it.")
    plan = await op.commit("plan", plan_again, input)
    await op.command("old guest", input.host, EnsureGuestGone(guest_id=input.server_id))
    running = input.was != STOPPED
    await revive(op, plan, running=running)
    await op.finish(rebuilt, input.server_id, running)


def plan_again(tx: Tx, input: RebuildServer) -> GuestPlan:
    """Return the guest as its rows say now, if who asked for it still sees the image."""
    server = store.get_server(tx, input.server_id)
    if server is not None and server.image_id is not None:
        images.find(tx, seeing_as(server, admin=input.by_admin), server.image_id)
    return plan_guest(tx, input.server_id, input.admin_password, input.files)


def rebuilt(tx: Tx, server_id: str, running: bool) -> None:
    """The guest is there again."""
    state, power = (ACTIVE, RUNNING) if running else (STOPPED, SHUT_DOWN)
    finish(tx, REBUILD, server_id, vm_state=state, power_state=power, launched_at=clock.now(), progress=100)
