"""The verbs that every hypervisor driver obeys.

One rule: each verb is idempotent. `ensure_*` makes the given state true whatever was there before, `ensure_*_gone`
succeeds when there is nothing left to remove; any verb may be cut short by `kill -9` and called again by a new
process. A driver keeps its truth on the host, not in memory, so that guests outlive the process that drives them,
and never touches what another cloud made.

Verbs about one guest wait for each other; those about different guests do not. Errors are the kernel's: `NotFound`
(no such guest or disk here), `Conflict` (not in this power state), `Invalid` (the image or disk cannot be used),
`OutOfSpace`, `Unavailable` (a program failed, is missing or did not answer in time).
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from pileus.services.compute.commands import (
    Blank,
    ConsoleAddress,
    Disk,
    DiskSource,
    FromImage,
    GuestEvent,
    GuestFacts,
    GuestSpec,
    HostFacts,
    LocalFile,
    NbdSocket,
    Nic,
    Power,
)

__all__ = [
    "Blank",
    "ConsoleAddress",
    "Disk",
    "DiskSource",
    "FromImage",
    "GuestEvent",
    "GuestFacts",
    "GuestSpec",
    "HostFacts",
    "Hypervisor",
    "Listener",
    "LocalFile",
    "NbdSocket",
    "Nic",
    "Power",
]

Listener = Callable[[GuestEvent], None]
"""Called on the event loop when a guest changes by itself."""


class Hypervisor(Protocol):
    """One host's guests."""

    async def start(self, listener: Listener) -> None:
        """Find the guests of an earlier process and watch them. Must be called before any other verb."""
        ...

    async def close(self) -> None:
        """Let go; guests keep running."""
        ...

    async def facts(self) -> HostFacts: ...

    async def guests(self) -> Sequence[GuestFacts]:
        """List what is here, as it is, for reconcilers to compare with what is wanted."""
        ...

    async def guest(self, guest_id: str) -> GuestFacts: ...

    async def ensure_guest(self, spec: GuestSpec, *, running: bool = True) -> GuestFacts:
        """Make the guest as specified. A guest that is off takes on a changed specification whole; one that runs, its
        disks and nics only (Conflict if more differs). Disks of its own that are no longer named, or come from
        another image now, are deleted; one that is named smaller keeps its size, one that is named larger grows.
        `running=False` makes all but does not start it, and leaves one that runs running."""
        ...

    async def ensure_guest_gone(self, guest_id: str) -> None:
        """Stop the guest at once and delete all that is its own; volumes and taps stay."""
        ...

    async def power_on(self, guest_id: str) -> GuestFacts: ...

    async def power_off(self, guest_id: str, timeout_s: float = 0.0) -> GuestFacts:
        """Ask the guest to shut down and wait; pull the plug after `timeout_s` (0: without asking)."""
        ...

    async def reboot(self, guest_id: str, *, hard: bool = False, timeout_s: float = 60.0) -> GuestFacts:
        """Soft: ask it to shut down, then start it; hard, or when it does not listen: as after a loss of power.
        A guest that is off, paused or suspended is started by a hard reboot and refuses a soft one (Conflict)."""
        ...

    async def pause(self, guest_id: str) -> GuestFacts: ...

    async def resume(self, guest_id: str) -> GuestFacts:
        """Let a paused or suspended guest go on where it was."""
        ...

    async def suspend(self, guest_id: str) -> GuestFacts:
        """Save the guest's memory to disk and end its process."""
        ...

    async def ensure_disk_attached(self, guest_id: str, disk: Disk) -> None:
        """Put the disk in; nothing to do for a suspended guest that has it, Conflict for one that has not."""
        ...

    async def ensure_disk_detached(self, guest_id: str, disk_id: str, timeout_s: float = 20.0) -> None:
        """Take the disk out; nothing to do where the guest has none such, or is not there. Conflict if the running
        guest does not let go of it in time, or is suspended with it; it keeps it then."""
        ...

    async def ensure_nic_attached(self, guest_id: str, nic: Nic) -> None:
        """As with disks."""
        ...

    async def ensure_nic_detached(self, guest_id: str, port_id: str, timeout_s: float = 20.0) -> None: ...

    async def resize_disk(self, guest_id: str, disk_id: str, size_bytes: int) -> None:
        """Let the guest see the disk at this size. A smaller size than it has is refused (Invalid)."""
        ...

    async def snapshot_disk(self, guest_id: str, disk_id: str, path: str) -> int:
        """Copy the disk as it is at one moment, running or not, to a new self-contained qcow2 file; return its bytes.
        The file appears whole or not at all."""
        ...

    async def console_log(self, guest_id: str, lines: int | None = None) -> str: ...

    async def console_address(self, guest_id: str) -> ConsoleAddress:
        """Return where the screen is served; Conflict if the guest has no process."""
        ...

    async def screenshot(self, guest_id: str) -> bytes:
        """Return the screen as a PNG; Conflict if the guest has no process."""
        ...

    async def ensure_all_gone(self) -> None:
        """Remove every guest and every cached image of this cloud on this host."""
        ...
