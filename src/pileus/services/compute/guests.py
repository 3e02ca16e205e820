"""From rows to the guest a host is told to make.

Rule: the same rows give the same guest, so that a host that remembers nothing can be told again.
"""

from typing import Any

import msgspec

from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict, NotFound
from pileus.services.compute import metadata, ports
from pileus.services.compute.commands import Blank, Disk, DiskSource, FromImage, GuestSpec, Nic
from pileus.services.compute.local_disks import EPHEMERAL, SWAP
from pileus.services.compute.model import BlockDevice, Flavor, Server
from pileus.services.compute.ports import Wire
from pileus.services.compute.store import servers as store
from pileus.services.compute.wanted import WantedFile

LEAST_ROOT_GIB = 1


class PlannedDisk(msgspec.Struct, frozen=True, kw_only=True):
    """A volume, and where the host finds it once it is connected."""

    volume_id: str
    boot_index: int | None
    source: DiskSource


class PlannedNic(msgspec.Struct, frozen=True, kw_only=True):
    """A card before its tap is known."""

    port_id: str
    mac: str


class GuestPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A guest but for what only its host knows: the taps, and the path of the image."""

    server_id: str
    host: str
    name: str
    vcpus: int
    memory_mib: int
    root_gib: int
    image_id: str | None
    image_format: str
    ephemeral_gib: int = 0
    swap_mib: int = 0
    disks: tuple[PlannedDisk, ...] = ()
    nics: tuple[PlannedNic, ...] = ()
    config_drive: dict[str, bytes] | None = None
    bus: str = "virtio"
    nic_model: str = "virtio"

    @property
    def port_ids(self) -> list[str]:
        """The ports of its cards."""
        return [nic.port_id for nic in self.nics]


def plan_guest(
    tx: Tx,
    server_id: str,
    admin_password: str | None = None,
    files: tuple[WantedFile, ...] = (),
    *,
    bind: bool = False,
) -> GuestPlan:
    """Return the plan of a server's guest; raise NotFound when the server is gone or has no host.

    With ``bind`` its host begins to carry its ports.
    """
    server = store.get_server(tx, server_id)
    if server is None or server.host is None:
        raise NotFound(f"Instance {server_id} could not be found on any host.")
    nics = store.list_nics(tx, server_id)
    if bind:
        ports.bind(tx, [nic.port_id for nic in nics], server.host)
    return GuestPlan(
        server_id=server.id,
        host=server.host,
        name=guest_name(server),
        vcpus=server.vcpus,
        memory_mib=server.memory_mb,
        root_gib=root_size(server),
        image_id=server.image_id,
        image_format=str(server.image.get("disk_format", "raw")),
        ephemeral_gib=server.flavor["ephemeral"],
        swap_mib=server.flavor["swap"],
        disks=tuple(_disk(device) for device in store.list_devices(tx, server_id) if device.connection),
        nics=tuple(PlannedNic(port_id=nic.port_id, mac=nic.mac) for nic in nics),
        config_drive=metadata.config_drive(tx, server, nics, admin_password, files) if server.config_drive else None,
        bus=_choice(server, "hw_disk_bus", ("virtio", "scsi", "sata", "ide")),
        nic_model=_choice(server, "hw_vif_model", ("virtio", "e1000", "rtl8139")),
    )


def flavor_copy(flavor: Flavor) -> dict[str, Any]:
    """Return what a server keeps of its flavor."""
    return {
        "id": flavor.id,
        "name": flavor.name,
        "vcpus": flavor.vcpus,
        "ram": flavor.memory_mb,
        "disk": flavor.disk_gib,
        "ephemeral": flavor.ephemeral_gib,
        "swap": flavor.swap_mb,
        "extra_specs": flavor.extra_specs,
    }


def guest_name(server: Server) -> str:
    """Return the name under which a hypervisor knows the server."""
    return f"instance-{server.id[:8]}"


def root_size(server: Server) -> int:
    """Return the size of a root disk copied from an image, in GiB: the flavor's, never less than it has grown to."""
    needed = int(server.image.get("min_disk", 0))
    return max(server.flavor["disk"], needed, int(server.image.get("root_gib", 0)), LEAST_ROOT_GIB)


def _choice(server: Server, name: str, allowed: tuple[str, ...]) -> str:
    wanted = server.image.get("properties", {}).get(name)
    return wanted if wanted in allowed else allowed[0]


def _disk(device: BlockDevice) -> PlannedDisk:
    return PlannedDisk(
        volume_id=device.volume_id,
        boot_index=device.boot_index,
        source=msgspec.convert(device.connection, DiskSource),
    )


def volume_disk(volume_id: str, source: DiskSource, boot_index: int | None = None, bus: str = "virtio") -> Disk:
    """Return a volume as the guest meets it."""
    return Disk(id=volume_id, source=source, serial=volume_id, boot_index=boot_index, bus=bus)  # type: ignore[arg-type]


def nic_of(port_id: str, mac: str, wire: Wire, model: str = "virtio") -> Nic:
    """Return a card as the guest meets it."""
    return Nic(port_id=port_id, mac=mac, tap=wire.tap, mtu=wire.mtu, model=model)  # type: ignore[arg-type]


def wires_by_port(wires: list[Wire], wanted: list[str], host: str) -> dict[str, Wire]:
    """Return wires by port; raise Conflict when the host made none for a port, since its owner has deleted it."""
    found = {wire.port_id: wire for wire in wires}
    if lost := [port_id for port_id in wanted if port_id not in found]:
        raise Conflict(f"Port {lost[0]} was deleted before host {host} plugged it.")
    return found


def _local_disks(plan: GuestPlan) -> list[Disk]:
    """Return the disks that the flavor gives beside the root."""
    found: list[Disk] = []
    bus: dict[str, Any] = {"bus": plan.bus}
    if plan.ephemeral_gib:
        source = Blank(size_mib=plan.ephemeral_gib << 10, format="ext4", label=EPHEMERAL)
        found.append(Disk(id=EPHEMERAL, source=source, serial=EPHEMERAL, **bus))
    if plan.swap_mib:
        found.append(Disk(id=SWAP, source=Blank(size_mib=plan.swap_mib, format="swap"), serial=SWAP, **bus))
    return found


def spec_of(plan: GuestPlan, wires: list[Wire], image_path: str | None, disks: list[PlannedDisk]) -> GuestSpec:
    """Return the whole guest; ``disks`` are connected now, beside those of the plan.

    Guests name their disks by their order: the root, the flavor's own, the volumes.
    """
    found: list[Disk] = []
    if plan.image_id is not None:
        root: dict[str, Any] = {"image_id": plan.image_id, "path": image_path or "", "format": plan.image_format}
        source = FromImage(**root, size_gib=plan.root_gib)
        found.append(Disk(id="root", source=source, serial=plan.server_id, boot_index=0, bus=plan.bus))  # type: ignore[arg-type]
    volumes = [volume_disk(disk.volume_id, disk.source, disk.boot_index, plan.bus) for disk in (*plan.disks, *disks)]
    found += [disk for disk in volumes if disk.boot_index == 0]
    found += _local_disks(plan)
    found += [disk for disk in volumes if disk.boot_index != 0]
    by_port = wires_by_port(wires, [nic.port_id for nic in plan.nics], plan.host)
    return GuestSpec(
        id=plan.server_id,
        name=plan.name,
        vcpus=plan.vcpus,
        memory_mib=plan.memory_mib,
        disks=tuple(found),
        nics=tuple(nic_of(nic.port_id, nic.mac, by_port[nic.port_id], plan.nic_model) for nic in plan.nics),
        config_drive=plan.config_drive,
    )
