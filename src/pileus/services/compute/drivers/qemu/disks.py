"""The disks of guests' own: copies of images, overlays over them, empty disks.

One rule: a file from a user is read once, by qemu-img with bounded memory and time, into a plain raw file; nothing
it says of other files (backing, data, extents) is ever followed. Source: QEMU docs/interop/qcow2.
"""

import asyncio
import json
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from uuid import uuid4

from pileus.kernel import clock
from pileus.kernel.agent.children import TOOL_USER, bounds, confined, readable
from pileus.kernel.disk_formats import QEMU_NAMES, check_file
from pileus.kernel.errors import Failed, Invalid, OutOfSpace, Unavailable
from pileus.services.compute.commands import Blank, FromImage

_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
MEMORY_LIMIT_BYTES, TIME_LIMIT_S = 2 << 30, 1800.0
INSPECT_MEMORY_BYTES, INSPECT_S = 1 << 30, 30
LARGEST_BYTES = 16 << 40


def reachable(folder: Path, user: int) -> bool:
    """Say whether a user without rights may pass through every folder on the way to `folder`."""
    return all(
        (stat := parent.stat()).st_mode & 0o001 or stat.st_uid == user for parent in (folder, *folder.resolve().parents)
    )


def unnamed_beside(file: Path) -> Path:
    """Return a name for a file in the making; a tool that outlives a killed agent for a moment has another one."""
    return file.with_name(f"{file.stem}.{uuid4().hex[:12]}.part")


async def run(*command: str | Path, timeout_s: float = TIME_LIMIT_S, within: tuple[str, ...] | None = None) -> str:
    """Run a disk tool with bounded memory and time and return what it printed; its own words go into the error.

    ``within`` are the words that confine it, of a tool that reads what a user has made.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *(within or bounds(memory_bytes=MEMORY_LIMIT_BYTES)),
            *map(str, command),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=os.environ | {"LC_ALL": "C"},
        )
    except FileNotFoundError as error:
        raise Failed("The program 'prlimit' is not here; install the Debian package util-linux.") from error
    try:
        out, said = await asyncio.wait_for(process.communicate(), timeout_s)
    except TimeoutError as error:
        raise Unavailable(f"The program '{command[0]}' did not end within {timeout_s:.0f} seconds.") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode == 127:
        raise Failed(f"The program '{command[0]}' is not on this host; 'pileus doctor' names its Debian package.")
    if process.returncode:
        words = said.decode(errors="replace").strip().splitlines()[-1:] or [f"exit status {process.returncode}"]
        if "No space left" in words[0]:
            raise OutOfSpace(f"The host's disk is full: {words[0]}")
        raise Unavailable(f"The program '{command[0]}' failed: {words[0]}")
    return out.decode()


async def inspect(path: str | Path, disk_format: str) -> dict[str, Any]:
    """Return what qemu-img says of an image read as `disk_format`; raise Invalid if it refers to other files."""
    await asyncio.to_thread(check_file, Path(path), disk_format)
    qemu_format = QEMU_NAMES[disk_format]
    user = TOOL_USER if readable(Path(path), TOOL_USER) else None
    within = confined(memory_bytes=INSPECT_MEMORY_BYTES, cpu_s=INSPECT_S, file_bytes=0, user=user)
    command = ("qemu-img", "info", "--output=json", "--image-opts", _options(qemu_format, path))
    try:
        found = json.loads(await run(*command, timeout_s=INSPECT_S, within=within))
    except Unavailable as error:
        raise Invalid(f"The image is not a readable {disk_format} disk: {error.message}") from error
    specific = found.get("format-specific", {}).get("data", {})
    if "backing-filename" in found or "full-backing-filename" in found:
        raise Invalid("The image has a backing file; flatten it (qemu-img convert) and upload it again.")
    if "data-file" in specific:
        raise Invalid("The image keeps its data in another file; convert it (qemu-img convert) and upload it again.")
    if found.get("encrypted"):
        raise Invalid("The image is encrypted; convert it to an open one and upload it again.")
    return found


def _options(qemu_format: str, path: str | Path) -> str:
    return f"driver={qemu_format},file.driver=file,file.locking=off,file.filename={str(path).replace(',', ',,')}"


class Images:
    """The host's copies of images: raw, sparse, read-only, one per image id."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._locks: dict[str, asyncio.Lock] = {}

    def file(self, image_id: str) -> Path:
        if not _SAFE_NAME.fullmatch(image_id):
            raise Invalid(f"Image id {image_id!r} is not usable as a file's name.")
        return self.folder / f"{image_id}.raw"

    async def ensure(self, source: FromImage) -> Path:
        """Return the host's copy of the image, making it first if it is not here."""
        file = self.file(source.image_id)
        async with self._locks.setdefault(source.image_id, asyncio.Lock()):
            if file.exists():
                os.utime(file)
                return file
            _expect_here(source)
            found = await inspect(source.path, source.format)
            size_bytes = int(found["virtual-size"])
            _expect_room(size_bytes, source)
            unnamed = unnamed_beside(file)
            await self._unpack(source, size_bytes, unnamed)
            unnamed.chmod(0o444)
            unnamed.rename(file)
            return file

    async def _unpack(self, source: FromImage, size_bytes: int, target: Path) -> None:
        """Write an image's content into a raw file, by a program that can write nothing else."""
        within = self._make_target(source, size_bytes, target)
        options = _options(QEMU_NAMES[source.format], source.path)
        into = ("-n", "--target-is-zero", "-O", "raw")
        await run("qemu-img", "convert", "--image-opts", *into, options, target, within=within)
        os.chown(target, os.geteuid(), os.getegid())

    def _make_target(self, source: FromImage, size_bytes: int, target: Path) -> tuple[str, ...]:
        """Make an empty file of the image's size for the program that fills it; return the words that confine it."""
        target.touch(mode=0o600)
        os.truncate(target, size_bytes)
        user = TOOL_USER if readable(Path(source.path), TOOL_USER) and reachable(self.folder, TOOL_USER) else None
        if user is not None:
            os.chown(target, user, user)
        limit = size_bytes + (1 << 20)
        return confined(memory_bytes=MEMORY_LIMIT_BYTES, cpu_s=int(TIME_LIMIT_S), file_bytes=limit, user=user)

    def forget(self, used: Iterable[str], older_than_s: float = 86400.0) -> None:
        """Delete copies that no guest uses and none has asked for lately, and unfinished ones."""
        keep = {self.file(image_id) for image_id in used}
        limit = clock.now().timestamp() - older_than_s
        for file in self.folder.iterdir():
            if file.suffix == ".part" or (file not in keep and file.stat().st_mtime < limit):
                file.unlink()


def _expect_here(source: FromImage) -> None:
    if not os.path.exists(source.path):
        raise Unavailable(f"Image {source.image_id} is not on this host: there is no file {source.path}.")


def _expect_room(size_bytes: int, source: FromImage) -> None:
    """Refuse what is larger than its disk before a byte of it is written: a header may claim any size."""
    if source.size_gib and source.size_gib << 30 < size_bytes:
        needed = -(-size_bytes >> 30)
        raise Invalid(f"Image {source.image_id} needs a disk of {needed} GiB; the flavor's has {source.size_gib} GiB.")
    if size_bytes > LARGEST_BYTES:
        raise Invalid(f"Image {source.image_id} claims {size_bytes} bytes; a disk has at most {LARGEST_BYTES}.")


def _overlay_size(base: Path, source: FromImage) -> int:
    """Return the size in bytes of a disk made from an image; a size of 0 GiB means the image's own."""
    least = base.stat().st_size
    _expect_room(least, source)
    return source.size_gib << 30 or least


async def make_overlay(base: Path, target: Path, source: FromImage) -> None:
    """Make a qcow2 disk whose unwritten parts are read from the image; atomic."""
    size_bytes = _overlay_size(base, source)
    unnamed = unnamed_beside(target)
    await run("qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "raw", unnamed, str(size_bytes))
    unnamed.rename(target)


async def make_blank(target: Path, source: Blank) -> None:
    """Make an empty sparse raw disk, formatted if the source says how; atomic."""
    unnamed = unnamed_beside(target)
    with unnamed.open("wb") as file:
        file.truncate(source.size_mib << 20)
    if source.format == "ext4":
        await run("mkfs.ext4", "-q", "-F", *(("-L", source.label[:16]) if source.label else ()), unnamed)
    elif source.format == "vfat":
        await run("mkfs.vfat", *(("-n", source.label[:11]) if source.label else ()), unnamed)
    elif source.format == "swap":
        await run("mkswap", *(("-L", source.label[:16]) if source.label else ()), unnamed)
    unnamed.rename(target)


async def virtual_size(path: Path, qemu_format: str) -> int:
    """Return the size in bytes that a guest sees of one of our own disks."""
    options = _options(qemu_format, path)
    return int(json.loads(await run("qemu-img", "info", "--output=json", "--image-opts", options))["virtual-size"])


async def grow(path: Path, qemu_format: str, size_bytes: int) -> None:
    """Grow a disk that no process has open."""
    await run("qemu-img", "resize", "-q", "-f", qemu_format, path, str(size_bytes))


async def copy(path: Path, qemu_format: str, target: Path, user: int | None) -> None:
    """Write a disk that no process has open as a self-contained qcow2 file, beside it.

    As ``user``, its owner: who broke out of a guest into its QEMU may have changed what the disk's header refers to.
    """
    within = confined(memory_bytes=MEMORY_LIMIT_BYTES, cpu_s=int(TIME_LIMIT_S), user=user)
    await run("qemu-img", "convert", "-f", qemu_format, "-O", "qcow2", "-m", "4", path, target, within=within)


def hand_over(made: Path, target: Path) -> int:
    """Move a finished file to where it was asked for, across file systems if need be; return its size in bytes."""
    os.chown(made, os.geteuid(), os.getegid())
    unnamed = target.with_name(f"{target.name}.part")
    try:
        made.rename(unnamed)
    except OSError:
        shutil.copyfile(made, unnamed)
    unnamed.rename(target)
    return target.stat().st_size
