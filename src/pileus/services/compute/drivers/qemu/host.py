"""What a host has: processors, memory, room, and whether its hardware really runs guests."""

import logging
import os
import platform
import re
import shutil
from pathlib import Path
from typing import Any

from pileus.kernel.errors import Unavailable
from pileus.services.compute.commands import HostFacts
from pileus.services.compute.drivers.qemu.disks import run

log = logging.getLogger("pileus.compute.qemu")
KVM = Path("/dev/kvm")
_VERSION = re.compile(r"version (\d+)\.(\d+)\.(\d+)")


def accelerator(user: int | None, device: Path = KVM) -> str:
    """Return "kvm" where the processor can virtualise and the kernel lets QEMU's user, else "tcg".

    /dev/kvm alone says nothing: nested guests may have it and hang on it.
    """
    flags = set(_processor().get("flags", "").split())
    if not flags & {"vmx", "svm"} or not os.access(device, os.R_OK | os.W_OK):
        return "tcg"
    if user is None or kvm_groups(device) or device.stat().st_mode & 0o006 == 0o006:
        return "kvm"
    log.warning(
        "guests run without KVM, slowly: %s is for root alone, and guests are not given root's group; give it to the"
        " group kvm (chgrp kvm %s; chmod 660 %s), as the Debian package qemu-system-x86 does by its udev rule",
        *(device,) * 3,
    )
    return "tcg"


def kvm_groups(device: Path = KVM) -> list[int]:
    """Return the group by which a process without rights opens /dev/kvm: none where that is root's."""
    try:
        found = device.stat()
    except FileNotFoundError:
        return []
    return [found.st_gid] if found.st_gid != 0 and found.st_mode & 0o060 == 0o060 else []


def _processor() -> dict[str, str]:
    """Return the first processor's lines of /proc/cpuinfo."""
    first = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    pairs = (line.split(":", 1) for line in first.splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


async def facts(state: Path, accelerator: str) -> HostFacts:
    """Gather the host's facts; raise Unavailable if QEMU is not installed."""
    found = _VERSION.search(await run("qemu-system-x86_64", "--version", timeout_s=20))
    if not found:
        raise Unavailable("qemu-system-x86_64 does not tell its version; reinstall the Debian package qemu-system-x86.")
    major, minor, micro = map(int, found.groups())
    disk = shutil.disk_usage(state)
    return HostFacts(
        vcpus=os.cpu_count() or 1,
        memory_mib=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20,
        disk_gib=disk.total >> 30,
        disk_free_gib=disk.free >> 30,
        hypervisor_type="QEMU",
        hypervisor_version=major * 1_000_000 + minor * 1000 + micro,
        accelerator=accelerator,
        cpu_info=_cpu_info(),
        boot_id=_boot_id(),
    )


def _cpu_info() -> dict[str, Any]:
    processor = _processor()
    return {
        "arch": platform.machine(),
        "model": processor.get("model name", "unknown"),
        "vendor": processor.get("vendor_id", "unknown"),
        "topology": {"sockets": 1, "cores": os.cpu_count() or 1, "threads": 1, "cells": 1},
        "features": sorted(processor.get("flags", "").split()),
    }


def _boot_id() -> str:
    """Return the kernel's name for this run of the machine, see random(4)."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
