"""Who holds a lease, and whether it can still be alive.

Rule: a process of this machine that is gone is known to be gone, so a restart waits for no lease to run out;
about other machines' processes only their leases tell.
"""

import os
import socket
from functools import cache
from itertools import count
from pathlib import Path

_numbers = count(1)


def new_owner() -> str:
    """Return a name for a lease holder in this process: host, boot, process namespace, process, its start."""
    pid = os.getpid()
    return "/".join((*_here(), str(pid), _started(pid) or "0", str(next(_numbers))))


def is_dead(owner: str) -> bool:
    """Tell whether ``owner`` was a process of this machine that has ended."""
    parts = owner.split("/")
    if len(parts) != 6:
        return False
    host, boot, namespace, pid, started, _ = parts
    my_host, my_boot, my_namespace = _here()
    if host != my_host:
        return False
    if boot != my_boot:
        return True
    return namespace == my_namespace and _started(int(pid)) != started


@cache
def _here() -> tuple[str, str, str]:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    namespace = os.readlink("/proc/self/ns/pid").removeprefix("pid:[").rstrip("]")
    return socket.gethostname().replace("/", "_"), boot, namespace


def _started(pid: int) -> str | None:
    """Return when a process began, in clock ticks after boot (field 22 of ``/proc/<pid>/stat``, see proc(5))."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else fields[19]
