"""The disks of one guest's own, brought to what its specification says. One rule: what is on a disk is never lost by
a specification that merely differs in size.
"""

import asyncio

from pileus.kernel.errors import Failed
from pileus.services.compute.commands import Blank, DiskSource, FromImage, GuestSpec
from pileus.services.compute.drivers import config_drive
from pileus.services.compute.drivers.qemu import disks
from pileus.services.compute.drivers.qemu.disks import Images
from pileus.services.compute.drivers.qemu.guest import Guest
from pileus.services.compute.drivers.qemu.record import CONFIG_DRIVE


async def make(guest: Guest, spec: GuestSpec, images: Images) -> None:
    """Bring the disks of a guest that is off to what `spec` says, and keep `spec`."""
    record, folder = guest.record, guest.folder
    named = {disk.id: disk.source for disk in spec.disks if isinstance(disk.source, FromImage | Blank)}
    for disk_id, source in list(record.made.items()):
        if disk_id not in named or not _same_origin(source, named[disk_id]):
            del record.made[disk_id]
            guest.save()
            if file := folder.own_file(disk_id, source):
                file.unlink(missing_ok=True)
    folder.tidy()
    for disk_id, source in named.items():
        await make_disk(guest, disk_id, source, images)
    record.spec = spec
    guest.save()
    if spec.config_drive is not None:
        content = await asyncio.to_thread(config_drive.write_iso, spec.config_drive)
        (folder.path / CONFIG_DRIVE).write_bytes(content)
        folder.give(folder.path / CONFIG_DRIVE)


async def make_disk(guest: Guest, disk_id: str, source: FromImage | Blank, images: Images) -> None:
    """Make one disk of a guest's own, or bring it to its size."""
    file, before = guest.folder.own_file(disk_id, source), guest.record.made.get(disk_id)
    assert file is not None
    if before is None:
        file.unlink(missing_ok=True)
        if isinstance(source, FromImage):
            await disks.make_overlay(await images.ensure(source), file, source)
        else:
            await disks.make_blank(file, source)
        guest.folder.give(file)
    elif not file.exists():
        raise Failed(f"Disk {disk_id} of guest {guest.id} is lost: there is no file {file}.")
    elif _size_mib(source) <= _size_mib(before):
        return  # a disk never shrinks: what is on it is worth more than a specification
    else:
        await disks.grow(file, file.suffix[1:], _size_mib(source) << 20)
    guest.record.made[disk_id] = source
    guest.save()


def _same_origin(made: object, wanted: FromImage | Blank) -> bool:
    """Say whether a disk made from one source serves for another: same image or same kind of blank, any size.

    A swap area serves at its own size only.
    """
    if isinstance(made, FromImage) and isinstance(wanted, FromImage):
        return made.image_id == wanted.image_id
    if isinstance(made, Blank) and isinstance(wanted, Blank) and made.format == wanted.format:
        return made.format != "swap" or made == wanted  # it says its size itself, and nothing on it outlives a boot
    return False


def _size_mib(source: DiskSource) -> int:
    if isinstance(source, FromImage):
        return source.size_gib << 10
    return source.size_mib if isinstance(source, Blank) else 0
