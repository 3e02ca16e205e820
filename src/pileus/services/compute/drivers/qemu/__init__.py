"""Guests in QEMU, driven over QMP.

One rule: QEMU outlives whoever drives it. A guest's folder holds its specification, its disks and its sockets; its
process holds a lock on that folder, so there is never a second one. Start reading at `driver.py`.
"""

from pileus.services.compute.drivers.qemu.driver import QemuHypervisor

PACKAGES = ("qemu-system-x86", "qemu-utils", "e2fsprogs", "dosfstools", "util-linux")
"""Debian packages whose programs this driver calls."""

__all__ = ["PACKAGES", "QemuHypervisor"]
