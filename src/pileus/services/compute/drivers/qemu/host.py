"""What a host has: processors, memory, room, and whether its hardware really runs guests."""

import os
import platform
import re
import shutil
from pathlib import Path
from typing import Any

from pileus.kernel.errors import Unavailable
from pileus.services.compute.commands import HostFacts
from pileus.services.compute.drivers.qemu.disks import run

_VERSION = re.compile(r"version (\d+)\.(\d+)\.(\d+)")


def accelerator() -> str:
    """Return "kvm" where the processor can virtualise and the kernel lets us, else "tcg".

    /dev/kvm alone says nothing: nested guests may have it and hang on it.
    """
    flags = set(_processor().get("flags", "").split())
    return "kvm" if flags & {"vmx", "svm"} and os.access("/dev/kvm", os.R_OK | os.W_OK) else "tcg"


def _processor() -> dict[str, str]:
    """Return the first processor's lines of /proc/cpuinfo."""
    first = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    pairs = (line.split(":", 1) for line in first.splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


async def facts(state: Path) -> HostFacts:
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
        accelerator=accelerator(),
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
