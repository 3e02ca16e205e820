"""Control groups: what one guest's QEMU may take of the host, whatever becomes of it.

One rule: a limit stops a process that has gone wrong and never squeezes a guest that behaves, so it lies well above
what QEMU needs; where groups cannot be made, guests run without and the log says why. Source: Linux
admin-guide/cgroup-v2, cgroup-v1/memory, cgroup-v1/pids.
"""

import contextlib
import hashlib
import logging
from pathlib import Path

log = logging.getLogger("pileus.compute.qemu")

ROOT = Path("/sys/fs/cgroup")
CONTROLLERS = ("memory", "pids")
LEAST_SPARE_MIB = 1024
"""Memory of QEMU's own above the guest's: code, translated code, video memory, buffers of disks and screens."""
THREADS = 256
"""Of QEMU's own: the main loop, disk workers (64), screens; each processor of the guest adds one."""


class Groups:
    """The control groups of one cloud's guests on this host, one for each guest and controller."""

    def __init__(self, state: Path, root: Path = ROOT) -> None:
        self._name = f"pileus-{hashlib.sha256(str(state.resolve()).encode()).hexdigest()[:8]}"
        self._parents = _parents(root, self._name)
        self._complained = False

    def hold(self, guest_id: str, pid: int, memory_mib: int, vcpus: int) -> None:
        """Put a guest's process into its group, with limits for its size."""
        memory_bytes = (memory_mib + max(LEAST_SPARE_MIB, memory_mib // 4)) << 20
        limits = {"memory": memory_bytes, "pids": THREADS + vcpus}
        try:
            if not self._parents:
                raise OSError("there is no cgroup hierarchy with the controllers memory and pids")
            for parent, files in self._parents:
                group = parent / guest_id
                group.mkdir(parents=True, exist_ok=True)
                for controller, file in files.items():
                    (group / file).write_text(str(limits[controller]))
                (group / "cgroup.procs").write_text(str(pid))
        except OSError as error:
            if not self._complained:
                log.warning("guests run without limits of memory and threads: %s", error)
            self._complained = True

    def groups_of(self, guest_id: str) -> list[Path]:
        """Return a guest's groups as far as they are there."""
        return [group for parent, _ in self._parents if (group := parent / guest_id).is_dir()]

    def drop(self, guest_id: str) -> None:
        """Remove the groups of a guest whose process has ended."""
        for group in self.groups_of(guest_id):
            with contextlib.suppress(OSError):  # its process may take a moment to go; the next sweep finds it
                group.rmdir()

    def sweep(self) -> None:
        """Remove every group without a process, and the cloud's own when no guest is left."""
        for parent, _ in self._parents:
            for group in (*parent.glob("*/"), parent):
                with contextlib.suppress(OSError):
                    group.rmdir()


def _parents(root: Path, name: str) -> list[tuple[Path, dict[str, str]]]:
    """Return where a cloud's groups go, with the files that hold the limits, by controller.

    The one hierarchy of version 2, or those of version 1 that have a controller: there below the group we are in
    ourselves, so that a limit on the whole agent holds for its guests too.
    """
    unified = root / "cgroup.controllers"
    if unified.exists():
        if not set(CONTROLLERS) <= set(unified.read_text().split()):
            return []
        with contextlib.suppress(OSError):  # inside a container the root holds processes and may not delegate
            (root / "cgroup.subtree_control").write_text("+memory +pids")
            (root / name).mkdir(exist_ok=True)
            (root / name / "cgroup.subtree_control").write_text("+memory +pids")
        return [(root / name, {"memory": "memory.max", "pids": "pids.max"})]
    files = {"memory": "memory.limit_in_bytes", "pids": "pids.max"}
    return [
        (root / controller / ours.strip("/") / name, {controller: files[controller]})
        for controller, ours in _own_groups().items()
        if controller in files and (root / controller).is_dir()
    ]


def _own_groups() -> dict[str, str]:
    """Return the group of this process in each hierarchy of version 1, by controller: proc(5), /proc/pid/cgroup."""
    found: dict[str, str] = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, group = line.split(":", 2)
        found.update(dict.fromkeys(controllers.split(","), group))
    return found
