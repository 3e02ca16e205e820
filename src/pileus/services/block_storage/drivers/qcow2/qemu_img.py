"""Running qemu-img.  One rule: bounded in time and memory, dead when the agent is dead, plain when it fails."""

import asyncio
import contextlib
import os
import signal
from pathlib import Path
from typing import Any

import msgspec

from pileus.kernel.agent.children import TOOL_USER, bounds, confined, readable
from pileus.kernel.disk_formats import QEMU_NAMES, check_file
from pileus.kernel.errors import ApiError, Conflict, Failed, Invalid, OutOfSpace, Unavailable

# A hostile image can make qemu-img allocate and spin without end: these bound one run.
MEMORY_BYTES = 4 << 30
INSPECT_MEMORY_BYTES = 1 << 30
INSPECT_TIMEOUT_S = 30.0


class ImageInfo(msgspec.Struct, frozen=True):
    """What qemu-img says of a file."""

    format: str
    virtual_size_bytes: int
    actual_size_bytes: int
    backing_file: str | None = None
    data_file: str | None = None


async def run(
    *arguments: str, timeout_s: float, memory_bytes: int = MEMORY_BYTES, within: tuple[str, ...] | None = None
) -> str:
    """Run qemu-img and return what it prints; raise the driver error its complaint stands for.

    ``within`` are the words that confine it, where it reads what a user has made.
    """
    limits = within or bounds(memory_bytes=memory_bytes, cpu_s=int(timeout_s) + 1)
    try:
        process = await asyncio.create_subprocess_exec(
            *limits,
            "qemu-img",
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "LC_ALL": "C"},
        )
    except FileNotFoundError as error:
        raise Unavailable("setpriv is not installed: install the Debian package util-linux.") from error
    try:
        async with asyncio.timeout(timeout_s):
            output, complaint = await process.communicate()
    except TimeoutError as error:
        raise Failed(f"qemu-img {arguments[0]} did not finish within {timeout_s:.0f} s and was stopped.") from error
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode:
        raise _error(arguments[0], complaint.decode(errors="replace").strip(), process.returncode)
    return output.decode(errors="replace")


def _error(verb: str, complaint: str, code: int) -> ApiError:
    if "No space left" in complaint or "Disk quota exceeded" in complaint:
        return OutOfSpace("The disk that holds the volumes is full: delete volumes or snapshots, or add space.")
    if "Failed to get" in complaint and "lock" in complaint:
        return Conflict("The volume's file is open in another process: detach the volume first.")
    if "prlimit: failed to execute qemu-img" in complaint:
        return Unavailable("qemu-img is not installed: install the Debian package qemu-utils.")
    if code == -signal.SIGKILL:
        return Unavailable(f"qemu-img {verb} was killed: the host is short of memory.")
    last = complaint.splitlines()[-1].removeprefix("qemu-img: ") if complaint else f"exit code {code}"
    return Failed(f"qemu-img {verb} failed: {last}")


async def info(path: str, format: str, *, foreign: bool = False) -> ImageInfo:
    """Describe a file, read as ``format``; nothing about it is believed yet.  ``foreign``: a user has made it."""
    within = None
    if foreign:
        user = TOOL_USER if readable(Path(path), TOOL_USER) else None
        cpu_s = int(INSPECT_TIMEOUT_S)
        within = confined(memory_bytes=INSPECT_MEMORY_BYTES, cpu_s=cpu_s, file_bytes=0, user=user)
    words = ("info", "--output=json", "-f", format, path)
    text = await run(*words, timeout_s=INSPECT_TIMEOUT_S, memory_bytes=INSPECT_MEMORY_BYTES, within=within)
    raw: dict[str, Any] = msgspec.json.decode(text)
    specific: dict[str, Any] = raw.get("format-specific", {}).get("data", {})
    return ImageInfo(
        format=raw["format"],
        virtual_size_bytes=raw["virtual-size"],
        actual_size_bytes=raw.get("actual-size", 0),
        backing_file=raw.get("backing-filename"),
        data_file=specific.get("data-file"),
    )


async def check_image(path: str, format: str, size_gib: int) -> str:
    """Refuse an image that does not fit or that makes us read other files of the host; return qemu's format name."""
    await asyncio.to_thread(check_file, Path(path), format)
    qemu_format = QEMU_NAMES[format]
    try:
        image = await info(path, qemu_format, foreign=True)
    except Failed as error:
        raise Invalid(f"The image is not a readable {format} image: {error}") from error
    if image.backing_file or image.data_file:
        raise Invalid("The image refers to another file: flatten it (qemu-img convert) and upload it again.")
    if image.virtual_size_bytes > size_gib << 30:
        needed = -(-image.virtual_size_bytes >> 30)
        raise Invalid(
            f"The image's disk has {image.virtual_size_bytes} bytes: a volume of {needed} GiB or more is needed."
        )
    return qemu_format


async def unpack(path: str, qemu_format: str, new: str, size_gib: int) -> None:
    """Write an image that was checked into a new qcow2 file, by a program that can write nothing else."""
    timeout_s = 600 + os.stat(path).st_size / 5e6
    await run("create", "-q", "-f", "qcow2", new, f"{size_gib}G", timeout_s=60)
    user = TOOL_USER if readable(Path(path), TOOL_USER) and _passable(new) else None
    if user is not None:
        os.chown(new, user, user)
    # A qcow2 file is larger than what it holds, by its tables: 8 bytes for each cluster of 64 KiB, twice.
    limit = (size_gib << 30) + (size_gib << 20) + (64 << 20)
    within = confined(memory_bytes=MEMORY_BYTES, cpu_s=int(timeout_s) + 1, file_bytes=limit, user=user)
    into = ("-n", "--target-is-zero", "-f", qemu_format, "-O", "qcow2")
    await run("convert", "-q", *into, path, new, timeout_s=timeout_s, within=within)
    os.chown(new, os.geteuid(), os.getegid())


def _passable(file: str) -> bool:
    return all(parent.stat().st_mode & 0o001 for parent in Path(file).resolve().parents)
