"""``pileus backup FILE``: everything of a cloud that cannot be made again, in one file, while the cloud goes on.

Rule: the database is copied first, at one moment, then the files; until then and while files are copied no byte that
a row names is removed.  FILE appears whole and on disk, or not at all.
"""

import argparse
import asyncio
import fcntl
import hashlib
import io
import json
import os
import shutil
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from pileus import __version__
from pileus.cli.settings import configuration
from pileus.cli.state import State
from pileus.cli.terminal import Problem, Step, Steps, say
from pileus.kernel.config import Configuration
from pileus.kernel.db import dump, open_database, schema
from pileus.kernel.errors import ApiError
from pileus.services.object_store import public as object_store

FORMAT = 1
MANIFEST, SUMS, DATABASE, FILES, OBJECTS = "backup.json", "SHA256SUMS", "database", "state/", "objects/"
LEFT_OUT = ("run", "logs", "snapshots", "compute", "block_storage", "object_store")
"""Folders of the state directory that are not taken (nor are its locks): processes' own, a fake cloud's snapshots,
guests' disks and volumes, and the objects, which are copied apart."""
CHUNK = 1 << 20


def run(words: argparse.Namespace) -> None:
    """Write the backup."""
    state, target = State(words.state), Path(words.file).absolute()
    config = configuration(state)
    if target.exists():
        raise Problem(f"{target} exists already.", "Give the backup another name, or remove that file.")
    if not target.parent.is_dir():
        raise Problem(f"There is no directory {target.parent}.", "Make it, or choose another for the backup.")
    try:
        with _scratch(target) as scratch:
            _write(config, scratch, Steps())
            _publish(scratch / "backup", target)
    except ApiError as error:
        raise Problem(error.message) from error
    except OSError as error:
        raise Problem(f"The backup could not be written: {error.strerror} ({error.filename or target}).") from error
    say(f"{target}  {target.stat().st_size / (1 << 20):.1f} MiB")
    say("It holds passwords' hashes and keys: keep it as safe as the cloud itself.")


@contextmanager
def _scratch(target: Path) -> Iterator[Path]:
    """Yield a folder beside the target, locked as long as we live; remove those of backups that died."""
    prefix = f".{target.name}."
    for left in target.parent.glob(f"{prefix}*.part"):
        with _locked(left) as dead:
            if dead:
                shutil.rmtree(left, ignore_errors=True)
    folder = target.parent / f"{prefix}{os.getpid()}.part"
    folder.mkdir(mode=0o700)
    try:
        with _locked(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(descriptor)


def _publish(written: Path, target: Path) -> None:
    with written.open("rb") as file:
        os.fsync(file.fileno())
    os.link(written, target)  # unlike a rename it never replaces a file that came meanwhile
    descriptor = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(config: Configuration, scratch: Path, steps: Steps) -> None:
    descriptor = os.open(scratch / "backup", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w|") as archive:
        sums: dict[str, str] = {}
        with object_store.copying(object_store.folder_of(config)):
            began = time.time()
            with steps.step("copying the database") as step:
                dump.dump(config.database_url, scratch / "copy", step.fraction)
            revision = asyncio.run(_revision(config.database_url))
            _add_text(archive, MANIFEST, json.dumps(_manifest(config, began, revision), indent=2), sums)
            _add(archive, DATABASE, scratch / "copy", sums)
            (scratch / "copy").unlink()
            with steps.step("copying settings and keys"):
                for path in _files(config.state):
                    _add(archive, f"{FILES}{path.relative_to(config.state)}", path, sums)
            with steps.step("copying objects and images") as step:
                _add_objects(archive, object_store.folder_of(config), sums, step)
        _add_text(archive, SUMS, "".join(f"{sum}  {name}\n" for name, sum in sums.items()), {})


async def _revision(url: str) -> str | None:
    database = open_database(url)
    try:
        return await database.read(schema.read_revision)
    finally:
        await database.close()


def _manifest(config: Configuration, began: float, revision: str | None) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "pileus": __version__,
        "began_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began)),
        "state": str(config.state),
        "engine": dump.kind(config.database_url),
        "revision": revision,
    }


def _files(state: Path) -> Iterator[Path]:
    """Yield the state directory's files, less what is left out and the database itself."""
    for path in sorted(state.iterdir()):
        if path.name in LEFT_OUT or path.name.startswith("pileus.db") or path.is_symlink() or path.suffix == ".lock":
            continue
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        yield from (one for one in inside if one.is_file() and not one.is_symlink())


def _add_objects(archive: tarfile.TarFile, folder: Path, sums: dict[str, str], step: Step) -> None:
    # What was sealed lies in tmp until its row is committed, then moves on: look there first, then where it went.
    for device in sorted(path for path in folder.iterdir() if path.is_dir()):
        found = [*sorted((device / "tmp").rglob("*")), *sorted((device / "objects").rglob("*"))]
        for number, path in enumerate(found):
            if path.is_file():
                _add(archive, f"{OBJECTS}{path.relative_to(folder)}", path, sums)
            if number % 64 == 0:
                step.fraction(number / len(found))
        step.note(f"{len(found)} files")


class _Counting:
    """A file as it is read, and its sum."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.sum = file, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.sum.update(data)
        return data


def _add(archive: tarfile.TarFile, name: str, path: Path, sums: dict[str, str]) -> None:
    """Add a file as long as it was when it was opened; one that has gone meanwhile was nobody's."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        info = archive.gettarinfo(arcname=name, fileobj=file)
        counting = _Counting(file)
        archive.addfile(info, counting)
        sums[name] = counting.sum.hexdigest()


def _add_text(archive: tarfile.TarFile, name: str, text: str, sums: dict[str, str]) -> None:
    data = text.encode()
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = len(data), 0o600, int(time.time())
    archive.addfile(info, io.BytesIO(data))
    sums[name] = hashlib.sha256(data).hexdigest()
