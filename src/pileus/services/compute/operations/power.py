"""Power: start, stop, reboot, pause, suspend and back.  Rule: a verb that fails leaves the server as it was."""

from collections.abc import Callable

from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict
from pileus.kernel.lifecycle import Verb
from pileus.kernel.operations import Operation, operation
from pileus.kernel.reconcile import nudge
from pileus.services.compute import lifecycle
from pileus.services.compute.commands import (
    PauseGuest,
    PowerGuestOff,
    RebootGuest,
    ResumeGuest,
    SuspendGuest,
)
from pileus.services.compute.ending import fail, finish
from pileus.services.compute.guests import plan_guest
from pileus.services.compute.model import PAUSED, RUNNING, SHUT_DOWN, SUSPENDED
from pileus.services.compute.operations.reviving import revive
from pileus.services.compute.wanted import ServerInput

SOFT_TIMEOUT_S = 60.0
"""How long a guest is asked to shut down before its plug is pulled."""


def _failed(verb: Verb) -> Callable[[Tx, ServerInput, str], None]:
    def settle(tx: Tx, input: ServerInput, reason: str) -> None:
        fail(tx, verb, input.server_id, reason, broken=verb is lifecycle.REBOOT_HARD)
        nudge(tx, "compute.guests")  # the guest may have done it all the same

    return settle


def _host(input: ServerInput) -> str:
    if input.host is None:
        raise Conflict(f"Instance {input.server_id} is on no host: it was never built; delete it.")
    return input.host


def end(tx: Tx, verb_name: str, server_id: str, power_state: int) -> None:
    """End a power verb."""
    finish(tx, lifecycle.SERVER.verbs[verb_name], server_id, power_state=power_state)


@operation("server.start", input=ServerInput, deadline_s=300, on_failure=_failed(lifecycle.START), queues=True)
async def start(op: Operation, input: ServerInput) -> None:
    """Make the guest as its rows say, and run it."""
    _host(input)
    await revive(op, await op.commit("plan", plan_guest, input.server_id))
    await op.finish(end, "start", input.server_id, RUNNING)


@operation("server.stop", input=ServerInput, deadline_s=300, on_failure=_failed(lifecycle.STOP), queues=True)
async def stop(op: Operation, input: ServerInput) -> None:
    """Ask the guest to shut down, then pull its plug."""
    await op.command("guest", _host(input), PowerGuestOff(guest_id=input.server_id, timeout_s=SOFT_TIMEOUT_S))
    await op.finish(end, "stop", input.server_id, SHUT_DOWN)


@operation("server.reboot", input=ServerInput, deadline_s=300, on_failure=_failed(lifecycle.REBOOT), queues=True)
async def reboot(op: Operation, input: ServerInput) -> None:
    """Ask the guest to shut down, then start it."""
    await op.command("guest", _host(input), RebootGuest(guest_id=input.server_id, timeout_s=SOFT_TIMEOUT_S))
    await op.finish(end, "reboot", input.server_id, RUNNING)


@operation(
    "server.reboot_hard", input=ServerInput, deadline_s=300, on_failure=_failed(lifecycle.REBOOT_HARD), queues=True
)
async def reboot_hard(op: Operation, input: ServerInput) -> None:
    """Pull the guest's plug, make it anew from its rows, and run it; a guest that is not there is made again."""
    host = _host(input)
    plan = await op.commit("plan", plan_guest, input.server_id)
    await op.attempt("off", _pull_plug, op, host, input.server_id)
    await revive(op, plan)
    await op.finish(end, "reboot_hard", input.server_id, RUNNING)


async def _pull_plug(op: Operation, host: str, server_id: str) -> None:
    await op.command("plug", host, PowerGuestOff(guest_id=server_id))


@operation("server.pause", input=ServerInput, deadline_s=120, on_failure=_failed(lifecycle.PAUSE), queues=True)
async def pause(op: Operation, input: ServerInput) -> None:
    """Stop the guest's processors."""
    await op.command("guest", _host(input), PauseGuest(guest_id=input.server_id))
    await op.finish(end, "pause", input.server_id, PAUSED)


@operation("server.suspend", input=ServerInput, deadline_s=600, on_failure=_failed(lifecycle.SUSPEND), queues=True)
async def suspend(op: Operation, input: ServerInput) -> None:
    """Write the guest's memory to disk."""
    await op.command("guest", _host(input), SuspendGuest(guest_id=input.server_id))
    await op.finish(end, "suspend", input.server_id, SUSPENDED)


async def _go_on(verb_name: str, op: Operation, input: ServerInput) -> None:
    await op.command("guest", _host(input), ResumeGuest(guest_id=input.server_id))
    await op.finish(end, verb_name, input.server_id, RUNNING)


@operation("server.unpause", input=ServerInput, deadline_s=120, on_failure=_failed(lifecycle.UNPAUSE), queues=True)
async def unpause(op: Operation, input: ServerInput) -> None:
    """Let the guest's processors go on."""
    await _go_on("unpause", op, input)


@operation("server.resume", input=ServerInput, deadline_s=600, on_failure=_failed(lifecycle.RESUME), queues=True)
async def resume(op: Operation, input: ServerInput) -> None:
    """Wake the guest from disk."""
    await _go_on("resume", op, input)
