"""Turn trees into a disk that boots: ext4, an MBR with GRUB in the gap, qcow2. One rule: no mount, no loop device."""

import os
import struct
from pathlib import Path

from pileus.services.image.mini.contents import LABEL, script
from pileus.services.image.mini.packages import Shelf, run
from pileus.services.image.mini.tree import BUILD_TIME_S, Tree

MIB = 1024 * 1024
_UUID = "70696c65-7573-4d69-8e69-000000000001"
_GRUB_MODULES = ("biosdisk", "part_msdos", "ext2", "linux16", "search_label", "boot")


def file_system(tree: Tree, raw: Path, scratch: Path) -> int:
    """Write the tree as an ext4 file system at 1 MiB into `raw` and return its size in MiB."""
    staging = scratch / "root"
    tree.write(staging)
    content_bytes = sum(len(entry.read()) // 4096 * 4096 + 8192 for entry in tree.entries.values())
    size_mib = content_bytes // MIB + 24
    with raw.open("wb") as file:
        file.truncate((size_mib + 1) * MIB)
    fixed = os.environ | {"E2FSPROGS_FAKE_TIME": str(BUILD_TIME_S)}
    features = "^metadata_csum_seed,^orphan_file"  # older kernels and tools must read it too
    # resize= reserves descriptors so that the mounted file system can grow to 256 GiB in place.
    extended = f"offset={MIB},lazy_itable_init=0,resize=67108864,hash_seed={_UUID}"
    run(
        "mke2fs", "-q", "-t", "ext4", "-b", "4096", "-L", LABEL, "-U", _UUID, "-O", features, "-J", "size=4", "-m", "0",
        "-i", "16384", "-E", extended, "-d", staging, raw, f"{size_mib}M", env=fixed,
    )  # fmt: skip
    run("debugfs", "-w", "-f", "-", f"{raw}?offset={MIB}", env=fixed, feed=tree.owner_commands())
    return size_mib


def make_bootable(raw: Path, size_mib: int, shelf: Shelf, scratch: Path) -> None:
    """Write an MBR with one active partition, and GRUB's core image between it and the partition.

    Layout of the boot sector: GRUB manual, "BIOS installation"; what grub-bios-setup patches in it is repeated here.
    """
    config, core_file = scratch / "grub.cfg", scratch / "core.img"
    config.write_bytes(script("grub.cfg"))
    platform = shelf.find("lib/grub/i386-pc/boot.img").parent
    libraries = ":".join(str(shelf.folder / top / "x86_64-linux-gnu") for top in ("lib", "usr/lib"))
    run(
        shelf.find("bin/grub-mkimage"), "-d", platform, "-O", "i386-pc", "-o", core_file, "-p", "/boot/grub", "-c",
        config, *_GRUB_MODULES, env=os.environ | {"LD_LIBRARY_PATH": libraries},
    )  # fmt: skip
    core, sector = core_file.read_bytes(), bytearray(512)
    assert len(core) <= MIB - 512, "GRUB's core image must fit before the first partition"
    sector[:440] = (platform / "boot.img").read_bytes()[:440]
    sector[0x66:0x68] = b"\x90\x90"  # no check of the drive number: hard disks need none
    sector[440:446] = b"PMIN\0\0"
    entry = (0x80, 0xFE, 0xFF, 0xFF, 0x83, 0xFE, 0xFF, 0xFF, MIB // 512, size_mib * (MIB // 512))
    sector[446:462] = struct.pack("<8B2I", *entry)
    sector[510:] = b"\x55\xaa"
    with raw.open("r+b") as file:
        file.write(sector)
        file.write(core)


def to_qcow2(raw: Path, target: Path) -> None:
    """Compress the raw disk into a qcow2 file."""
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", raw, target)
