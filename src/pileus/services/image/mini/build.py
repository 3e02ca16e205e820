"""Build pileus-mini, the guest image every Pileus cloud starts with.

One rule: an image is a function of package hashes and of these files; it is built once, beside its final name, and
renamed into place when it is whole.
"""

import fcntl
import gzip
import hashlib
import tempfile
from pathlib import Path

import msgspec

from pileus.services.image.mini import contents, disk, packages
from pileus.services.image.mini.packages import Progress, Shelf

HOST_PACKAGES = ("e2fsprogs", "kmod", "qemu-utils")
"""Debian packages whose programs the builder calls; apt and dpkg are there on every Debian."""


class MiniImage(msgspec.Struct, frozen=True):
    """The finished image and what to tell the image service of it."""

    path: str
    size_bytes: int
    sha256: str
    kernel_release: str
    min_ram_mib: int = 128
    disk_format: str = "qcow2"


def _quiet(_sentence: str, _part: float) -> None: ...


def build_mini(cache: Path, progress: Progress = _quiet) -> MiniImage:
    """Return pileus-mini from `cache`, building it first if packages or builder changed.

    Blocks for seconds: call it in a thread from asyncio. Raises Unavailable naming what is missing.
    """
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        progress("Looking up Debian packages", 0.0)
        wanted = _wanted(cache)
        facts = cache / f"pileus-mini-{_identity(wanted)}.json"
        if facts.exists():
            image = msgspec.json.decode(facts.read_bytes(), type=MiniImage)
            if Path(image.path).is_file() and Path(image.path).stat().st_size == image.size_bytes:
                return image
        debs = packages.fetch(wanted, cache / "debs", lambda sentence, part: progress(sentence, 0.05 + 0.5 * part))
        with tempfile.TemporaryDirectory(dir=cache, prefix="build-") as scratch:
            image = _build(debs, Path(scratch), facts.with_suffix(".qcow2"), progress)
        facts.write_bytes(msgspec.json.encode(image))
        _forget_others(cache, facts.stem, {deb.name for deb in debs})
        progress("The guest image pileus-mini is ready", 1.0)
        return image


def _wanted(cache: Path) -> list[packages.Package]:
    """Return what the image is made of; apt is asked again only after `apt-get update` or a change of this program."""
    lists = (entry.stat() for entry in sorted(Path("/var/lib/apt/lists").glob("*_InRelease")))
    stamp = repr([(stat.st_size, stat.st_mtime_ns) for stat in lists]) + repr(contents.PACKAGES)
    noted = cache / "packages.json"
    if noted.exists():
        old_stamp, wanted = msgspec.json.decode(noted.read_bytes(), type=tuple[str, list[packages.Package]])
        if old_stamp == stamp:
            return wanted
    wanted = packages.look_up(packages.with_libraries([packages.kernel_package(), *contents.PACKAGES]))
    noted.write_bytes(msgspec.json.encode((stamp, wanted)))
    return wanted


def _identity(wanted: list[packages.Package]) -> str:
    digest = hashlib.sha256()
    for package in wanted:
        digest.update(package.sha256.encode())
    here = Path(__file__).parent
    for folder in (here, here / "guest"):
        for file in sorted(folder.iterdir(), key=lambda item: item.name):
            if file.is_file():
                digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]


def _build(debs: list[Path], scratch: Path, target: Path, progress: Progress) -> MiniImage:
    progress("Unpacking packages", 0.55)
    shelf = Shelf.unpack(debs, scratch / "unpacked", apart="busybox-static_")
    modules = contents.Modules(shelf)
    progress("Collecting the guest's files", 0.7)
    ramdisk = gzip.compress(contents.initramfs(shelf, modules).cpio(), 9, mtime=0)
    tree = contents.root(shelf, modules, contents.password_hash(shelf), ramdisk, scratch)
    progress("Writing the file system", 0.75)
    raw = scratch / "disk.raw"
    size_mib = disk.file_system(tree, raw, scratch)
    disk.make_bootable(raw, size_mib, shelf, scratch)
    progress("Compressing the disk", 0.85)
    unnamed = scratch / "disk.qcow2"
    disk.to_qcow2(raw, unnamed)
    unnamed.rename(target)
    with target.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return MiniImage(str(target), target.stat().st_size, sha256, modules.release)


def _forget_others(cache: Path, keep: str, debs: set[str]) -> None:
    for file in cache.glob("pileus-mini-*"):
        if file.stem != keep:
            file.unlink()
    for file in (cache / "debs").iterdir():
        if file.name not in debs:
            file.unlink()
