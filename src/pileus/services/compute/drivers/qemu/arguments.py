"""From a specification to QEMU's command line and to the objects it plugs in later. One rule: pure functions.

Every disk and card sits behind a PCIe root port of its own, named after it, so that it can be taken out again; spare
ports wait for what is plugged in later. Source: QEMU 7.2 man page and QMP reference, docs/pcie.txt.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import msgspec

from pileus.services.compute.commands import Disk, GuestSpec, NbdSocket, Nic
from pileus.services.compute.drivers.qemu.slots import Slots, disk_name, nic_name, port_name

SERIAL_CHARACTERS = 20
_TCG_CPU = "qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt"  # x86-64-v2, which today's distributions ask for


@dataclass(frozen=True)
class DiskFile:
    """Where a disk's bytes are: a file, or an NBD socket. `format` is QEMU's name."""

    path: str
    format: str = "raw"
    export: str | None = None
    read_only: bool = False


@dataclass(frozen=True)
class Sockets:
    """The ends at which a guest's process listens. File descriptors are inherited, so nothing has to be waited for."""

    monitor_fd: int
    storage_fd: int
    vnc: str


def node_name(disk_id: str) -> str:
    """Return the name of a disk's block node: QEMU allows 31 characters."""
    plain = "".join(c for c in disk_id if c.isalnum())
    return f"d-{plain}" if len(plain) <= 20 else f"d-{hashlib.sha256(disk_id.encode()).hexdigest()[:24]}"


def block_node(disk: Disk, file: DiskFile) -> dict[str, Any]:
    """Return the `blockdev-add` arguments of a disk."""
    read_only = file.read_only or disk.cdrom
    if isinstance(disk.source, NbdSocket):
        bottom: dict[str, Any] = {
            "driver": "nbd",
            "server": {"type": "unix", "path": file.path},
            "export": file.export or "",
            "reconnect-delay": 60,
        }
    else:
        bottom = {"driver": "file", "filename": file.path}
    # One node over the file, named after the disk; NBD's far end has undone the format already.
    return {
        "driver": "raw" if file.export is not None else file.format,
        "node-name": node_name(disk.id),
        "read-only": read_only,
        "discard": "unmap",
        "file": bottom | {"read-only": read_only, "discard": "unmap"},
    }


def disk_device(disk: Disk, bus: str | None) -> dict[str, Any]:
    """Return the `device_add` arguments of a disk."""
    common: dict[str, Any] = {"id": disk_name(disk.id), "drive": node_name(disk.id)}
    if disk.serial:
        common["serial"] = disk.serial[:SERIAL_CHARACTERS]
    if disk.boot_index is not None and disk.boot_index >= 0:
        common["bootindex"] = disk.boot_index
    if disk.bus == "virtio" and not disk.cdrom:
        return {"driver": "virtio-blk-pci", "bus": bus} | common
    if disk.bus in ("scsi", "virtio"):
        return {"driver": "scsi-cd" if disk.cdrom else "scsi-hd", "bus": "scsi0.0"} | common
    return {"driver": "ide-cd" if disk.cdrom else "ide-hd"} | common


def nic_device(nic: Nic, bus: str) -> dict[str, Any]:
    """Return the `device_add` arguments of a network card; no boot ROM, which costs every boot a moment."""
    device: dict[str, Any] = {
        "id": nic_name(nic.port_id),
        "netdev": netdev_name(nic.port_id),
        "mac": nic.mac,
        "bus": bus,
        "romfile": "",
    }
    if nic.model == "virtio":
        return {"driver": "virtio-net-pci", "host_mtu": nic.mtu} | device
    return {"driver": nic.model} | device


def netdev_name(port_id: str) -> str:
    return f"net-{port_id}"


def _as_json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def command_line(
    spec: GuestSpec,
    files: dict[str, DiskFile],
    sockets: Sockets,
    taps: dict[str, int],
    slots: Slots,
    *,
    accelerator: str,
    incoming: bool = False,
) -> list[str]:
    """Return the whole command line. `files` by disk id, `taps` file descriptors by port id; paths are relative to the
    guest's folder where they are its own. The guest is created stopped (-S) and waits for `cont`."""
    kvm = accelerator == "kvm"
    line = [
        "qemu-system-x86_64", "-name", f"guest={spec.id},process=pileus-{spec.id[:8]}", "-uuid", spec.id,
        "-machine", "q35,usb=off,dump-guest-core=off", "-accel", "kvm" if kvm else "tcg,tb-size=64",
        "-cpu", "host" if kvm else _TCG_CPU, "-smp", str(spec.vcpus), "-m", f"{spec.memory_mib}M",
        "-nodefaults", "-no-user-config", "-no-shutdown", "-S", "-display", "none", "-vga", "std",
        "-rtc", "base=utc,driftfix=slew", "-pidfile", "pid",
        "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
        "-smbios", "type=1,manufacturer=OpenStack Foundation,product=OpenStack Nova,family=Virtual Machine",
        "-vnc", f"unix:{sockets.vnc}",
        "-chardev", f"socket,id=monitor,fd={sockets.monitor_fd},server=on,wait=off",
        "-chardev", f"socket,id=storage,fd={sockets.storage_fd},server=on,wait=off",
        "-mon", "chardev=monitor,mode=control", "-mon", "chardev=storage,mode=control",
        "-chardev", "file,id=serial,path=console.log,append=on", "-device", "isa-serial,chardev=serial",
        "-device", "virtio-rng-pci", "-device", "virtio-balloon-pci",
    ]  # fmt: skip
    if incoming:
        line += ["-incoming", "defer"]
    if any(disk.bus == "scsi" or (disk.bus == "virtio" and disk.cdrom) for disk in spec.disks):
        line += ["-device", "virtio-scsi-pci,id=scsi0"]
    for index in range(slots.count):
        # Eight ports share a slot of the root bus, as functions of one device.
        slot, function = 0x10 + index // 8, index % 8
        more = ",multifunction=on" if function == 0 else ""
        line += ["-device", f"pcie-root-port,id={port_name(index)},chassis={index + 1},addr={slot:#x}.{function}{more}"]
    for disk in spec.disks:
        line += ["-blockdev", _as_json(block_node(disk, files[disk.id]))]
        line += ["-device", _as_json(disk_device(disk, port_name(slots.taken[disk_name(disk.id)])))]
    for nic in spec.nics:
        line += ["-netdev", f"tap,id={netdev_name(nic.port_id)},fd={taps[nic.port_id]}"]
        line += ["-device", _as_json(nic_device(nic, port_name(slots.taken[nic_name(nic.port_id)])))]
    return line
