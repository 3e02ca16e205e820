"""What a server boots from and which volumes it gets: the block device mapping, made plain."""

from dataclasses import dataclass, replace

import msgspec

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid
from pileus.services.compute import images, volumes
from pileus.services.compute.guests import flavor_copy
from pileus.services.compute.local_disks import local_devices
from pileus.services.compute.model import Flavor
from pileus.services.compute.wanted import WantedVolume

ROOT = "/dev/vda"
LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, kw_only=True)
class WantedDevice:
    """One entry of the mapping, in the words of its second version."""

    source: str
    destination: str | None = None
    id: str | None = None
    boot_index: int | None = None
    size_gib: int | None = None
    volume_type: str | None = None
    delete_on_termination: bool = False
    device: str | None = None
    tag: str | None = None


@dataclass(frozen=True)
class Devices:
    """The plan: the image the root disk is copied from (None: a volume boots), and the volumes."""

    image_id: str | None
    root_device: str
    volumes: tuple[WantedVolume, ...]

    def hold(self, tx: Tx, ctx: Context, server_id: str) -> tuple[WantedVolume, ...]:
        """Reserve the volumes that are there already for the server."""
        held = []
        for volume in self.volumes:
            if volume.source == "volume" and volume.id is not None:
                attachment_id = volumes.reserve(tx, ctx, volume.id, server_id, volume.device)
                held.append(_with_attachment(volume, attachment_id))
            else:
                held.append(volume)
        return tuple(held)


def _with_attachment(volume: WantedVolume, attachment_id: str) -> WantedVolume:
    return msgspec.structs.replace(volume, attachment_id=attachment_id)


def plan_devices(
    tx: Tx, ctx: Context, wanted: list[WantedDevice], image: images.Image | None, flavor: Flavor, *, count: int
) -> Devices:
    """Return the plan; raise Invalid, naming the entry and the cause, when it cannot be carried out."""
    boots = [device for device in wanted if device.boot_index == 0]
    if len(boots) > 1:
        raise Invalid("Block Device Mapping is Invalid: two entries have boot_index 0; one device can boot.")
    local = [device for device in wanted if _is_image_root(device)]
    rest = [device for device in wanted if device not in local]
    if boots and not local:
        image = None  # the volume boots, whatever image is named beside it
    elif image is None and local and local[0].id:
        image = images.find(tx, ctx, local[0].id)
    if image is None and not boots:
        raise Invalid("Invalid imageRef provided: give an image, or a block device with boot_index 0.")
    if image is not None:
        check_fit(image, flavor)
    own = set(local_devices(flavor_copy(flavor)).values())
    planned = _name_devices(rest, own | {ROOT} if image is not None else own)
    return Devices(
        image.id if image is not None else None,
        ROOT,
        tuple(_wanted(tx, ctx, device, flavor, count) for device in planned),
    )


def _is_image_root(device: WantedDevice) -> bool:
    return device.source == "image" and device.boot_index == 0 and device.destination in (None, "local")


def check_fit(image: images.Image, flavor: Flavor) -> None:
    """Raise Invalid when the image needs more memory or disk than the flavor has."""
    if image.min_ram > flavor.memory_mb:
        raise Invalid(
            f"Flavor's memory is too small for requested image: {image.name or image.id} needs {image.min_ram} MB, "
            f"{flavor.name} has {flavor.memory_mb}."
        )
    needed = max(image.min_disk, -(-(image.virtual_size or image.size or 0) // 2**30) if flavor.disk_gib else 0)
    if flavor.disk_gib and needed > flavor.disk_gib:
        raise Invalid(
            f"Flavor's disk is too small for requested image: {image.name or image.id} needs {needed} GB, "
            f"{flavor.name} has {flavor.disk_gib}."
        )


def _name_devices(wanted: list[WantedDevice], taken: set[str]) -> list[WantedDevice]:
    """Give every volume a device name; the root is vda, names asked for are kept where they are free."""
    named = []
    for device in sorted(wanted, key=lambda d: (d.boot_index != 0, d.boot_index is None, d.boot_index or 0)):
        name = ROOT if device.boot_index == 0 else device.device
        if name is not None and not name.startswith("/dev/"):
            name = f"/dev/{name}"
        if name is None or name in taken:
            name = next_device(taken)
        taken.add(name)
        named.append(replace(device, device=name))
    return named


def next_device(taken: set[str]) -> str:
    """Return the first free device name after the root's."""
    names = [f"/dev/vd{letter}" for letter in LETTERS[1:]]
    for name in names:
        if name not in taken:
            return name
    raise Invalid(f"A server can have {len(names)} volumes beside its root; this one has them all.")


def _wanted(tx: Tx, ctx: Context, device: WantedDevice, flavor: Flavor, count: int) -> WantedVolume:
    _check_device(tx, ctx, device, count)
    size = device.size_gib
    if size is None and device.source == "image" and device.boot_index == 0:
        size = max(flavor.disk_gib, 1)
    return WantedVolume(
        source=device.source,  # type: ignore[arg-type]
        id=device.id,
        size_gib=size,
        volume_type=device.volume_type,
        boot_index=device.boot_index if (device.boot_index or 0) >= 0 else None,
        delete_on_termination=device.delete_on_termination,
        device=str(device.device),
        tag=device.tag,
    )


def _check_device(tx: Tx, ctx: Context, device: WantedDevice, count: int) -> None:
    if device.source != "volume" and device.destination == "local":
        raise Invalid(
            f"Block Device Mapping is Invalid: {device.source} to local disk beside the root is not offered; "
            "use destination_type volume."
        )
    if device.source != "blank" and not device.id:
        raise Invalid(f"Block Device Mapping is Invalid: the entry for a {device.source} needs its uuid.")
    if device.source == "blank" and not device.size_gib:
        raise Invalid("Block Device Mapping is Invalid: a blank volume needs volume_size.")
    if device.source == "image" and device.size_gib is None and device.boot_index != 0:
        raise Invalid("Block Device Mapping is Invalid: a volume made from an image needs volume_size.")
    if device.volume_type is not None:
        volumes.check_type(tx, ctx, device.volume_type)
    if device.source == "image":
        images.find(tx, ctx, str(device.id))
    elif device.source == "snapshot":
        volumes.check_snapshot(tx, ctx, str(device.id))
    elif device.source == "volume":
        if count > 1:
            raise Invalid("Cannot attach one or more volumes to multiple instances: ask for one server.")
        volumes.check_attachable(tx, ctx, str(device.id), bootable=device.boot_index == 0)
