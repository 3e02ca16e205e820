"""The verbs of a server: from which states, under which label, and how states are shown.

Rule: a verb that is not in this table does not exist; ``task_state`` is the label of the verb at work.
"""

from typing import Final

from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict
from pileus.kernel.lifecycle import Lifecycle, Verb
from pileus.services.compute.model import Server

ACTIVE: Final = "active"
BUILDING: Final = "building"
STOPPED: Final = "stopped"
PAUSED: Final = "paused"
SUSPENDED: Final = "suspended"
RESCUED: Final = "rescued"
RESIZED: Final = "resized"
SHELVED: Final = "shelved"
SHELVED_OFFLOADED: Final = "shelved_offloaded"
ERROR: Final = "error"
DELETED: Final = "deleted"
ANY = {ACTIVE, BUILDING, STOPPED, PAUSED, SUSPENDED, RESCUED, RESIZED, SHELVED, SHELVED_OFFLOADED, ERROR}
_RUNS = {ACTIVE, STOPPED, PAUSED, SUSPENDED}
_PLUGGABLE = {ACTIVE, STOPPED, PAUSED}

SERVER = Lifecycle(Server, "instance", status="vm_state")
CREATE = SERVER.verb("create", {BUILDING}, "spawning", ACTIVE)
DELETE = SERVER.verb("delete", ANY, "deleting", DELETED)
START = SERVER.verb("start", {STOPPED}, "powering-on", ACTIVE)
STOP = SERVER.verb("stop", {ACTIVE, ERROR}, "powering-off", STOPPED)
REBOOT = SERVER.verb("reboot", {ACTIVE}, "rebooting", ACTIVE)
PAUSE = SERVER.verb("pause", {ACTIVE}, "pausing", PAUSED)
UNPAUSE = SERVER.verb("unpause", {PAUSED}, "unpausing", ACTIVE)
SUSPEND = SERVER.verb("suspend", {ACTIVE}, "suspending", SUSPENDED)
RESUME = SERVER.verb("resume", {SUSPENDED}, "resuming", ACTIVE)
REBOOT_HARD = SERVER.verb(
    "reboot_hard",
    _RUNS | {ERROR},
    "rebooting_hard",
    ACTIVE,
    over=frozenset({"rebooting_hard", *(verb.label for verb in (REBOOT, PAUSE, UNPAUSE, SUSPEND, RESUME))}),
)
"""As upstream's it may follow a verb at work that waits for the guest: whoever asks for it has lost patience."""
REBUILD = SERVER.verb("rebuild", {ACTIVE, STOPPED, ERROR}, "rebuilding")
RESIZE = SERVER.verb("resize", {ACTIVE, STOPPED}, "resize_migrating", RESIZED)
MIGRATE = SERVER.verb("migrate", {ACTIVE, STOPPED}, "resize_migrating", RESIZED)
CONFIRM_RESIZE = SERVER.verb("confirm_resize", {RESIZED}, "resize_confirming")
REVERT_RESIZE = SERVER.verb("revert_resize", {RESIZED}, "resize_reverting")
CREATE_IMAGE = SERVER.verb("create_image", _RUNS, "image_uploading")
ATTACH_VOLUME = SERVER.verb("attach_volume", _RUNS, "attaching_volume")
DETACH_VOLUME = SERVER.verb("detach_volume", _RUNS, "detaching_volume")
ATTACH_INTERFACE = SERVER.verb("attach_interface", _PLUGGABLE, "attaching_interface")
DETACH_INTERFACE = SERVER.verb("detach_interface", _PLUGGABLE, "detaching_interface")
QUIET = frozenset({"attach_volume", "detach_volume", "attach_interface", "detach_interface"})
"""Verbs that set no label, since upstream's have none and clients wait for ``task_state`` null.  Any number of them
run side by side, each on a device of its own; what changes the whole guest waits for them (``operations/``)."""

ACTION = {
    "confirm_resize": "confirmResize",
    "revert_resize": "revertResize",
    "create_image": "createImage",
    "reboot_hard": "reboot",
    "recover": "start",
}
"""Names of instance actions that differ from the verb's."""

STATUS = {
    ACTIVE: "ACTIVE",
    BUILDING: "BUILD",
    STOPPED: "SHUTOFF",
    PAUSED: "PAUSED",
    SUSPENDED: "SUSPENDED",
    RESCUED: "RESCUE",
    RESIZED: "VERIFY_RESIZE",
    SHELVED: "SHELVED",
    SHELVED_OFFLOADED: "SHELVED_OFFLOADED",
    ERROR: "ERROR",
    DELETED: "DELETED",
}
STATES = {status: state for state, status in STATUS.items()}
PASSING = {
    REBOOT.label: "REBOOT",
    REBOOT_HARD.label: "HARD_REBOOT",
    REBUILD.label: "REBUILD",
    RESIZE.label: "RESIZE",
    REVERT_RESIZE.label: "REVERT_RESIZE",
}
"""What a server shows while a verb is at work, instead of the status of its state."""
LABELS = {status: label for label, status in PASSING.items()}
WITH_PROGRESS = frozenset({"ACTIVE", "BUILD", "REBUILD", "RESIZE", "VERIFY_RESIZE"})


def status_of(vm_state: str, task_state: str | None) -> str:
    """Return the status a server shows: that of its state, unless the verb at work has one of its own."""
    return PASSING.get(task_state or "") or STATUS[vm_state]


def claim(tx: Tx, verb: Verb, server: Server) -> None:
    """Begin ``verb`` on the server's row; raise Conflict, naming the state, when it may not begin now.

    A verb of ``QUIET`` only checks: what it must wait for, the operation that follows does.
    """
    if verb.name not in QUIET:
        verb.begin(tx, server.id)
    elif not verb.allowed(server.vm_state, server.task_state):
        doing = f"task_state {server.task_state}" if server.task_state else f"vm_state {server.vm_state}"
        raise Conflict(
            f"Cannot '{verb.name}' instance {server.id} while it is in {doing}; it can be done in: "
            f"{', '.join(sorted(verb.start))}."
        )


def action_of(operation: str) -> str:
    """Return the instance action's name for an operation ``server.<verb>``."""
    name = operation.removeprefix("server.")
    return ACTION.get(name, name)
